"""Figure 11: why smoothness matters, seen in the gradient at initialization as eps shrinks."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import log_log_slope
from lowrank_dynamics.config.registries import ACTIVATIONS
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {
    "gradient_tail": r"$\sigma_{K+1}/\sigma_K$ of $G_1(0)$",
    "derivative_spread": r"spread of $\phi'(W_1(0)X)$",
}


def draw(metrics: Metrics) -> Figure:
    """Draw the tail of the gradient and the spread of phi', its relative distance from a constant matrix.

    Smooth activations are solid, nonsmooth ones dashed: geometric mean over trials, band of one geometric standard
    deviation, on logarithmic axes. The legend gives fitted slopes.
    """
    figure, panels = plt.subplots(1, 2, figsize=(style.TEXT_WIDTH, 2.9), layout="constrained")
    names = metrics.activations
    eps = dict(enumerate(metrics.settings.observe.start_eps, start=1))
    for (quantity, label), axes in zip(PANELS.items(), panels, strict=True):
        measured = metrics.frame(quantity)
        measured["eps"] = measured["index"].map(eps)
        axes.set(xscale="log", yscale="log")
        dashes = [style.SOLID if ACTIVATIONS[name].smooth else style.DASHED for name in names]
        markers = {"markers": list(style.MARKERS[: len(names)]), "markersize": 4}
        style.lines(measured, axes, "activation", names, x="eps", dashes=dashes, **markers)
        axes.set(xlabel=r"$\epsilon$", ylabel=label)
        handles, _ = axes.get_legend_handles_labels()
        legend = [f"{style.activation_labels([name])[0]}, slope {_slope(measured, name)}" for name in names]
        axes.legend(handles, legend, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=6)
    return figure


def _slope(measured: pd.DataFrame, activation: str) -> str:
    """Return the mean over trials of the fitted slopes, in words."""
    slope = log_log_slope(measured[measured["activation"] == activation], "eps").mean()
    return f"{abs(slope) if abs(slope) < 0.005 else slope:.2f}"
