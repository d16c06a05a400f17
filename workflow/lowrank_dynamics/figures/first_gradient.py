"""Figure 11: why smoothness matters, seen in the gradient at initialization as eps shrinks."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.measures import slope_at_the_start
from lowrank_dynamics.analysis.scaling import against_eps
from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {
    "gradient_tail": r"$\sigma_{K+1}/\sigma_K$ of $G_1(0)$",
    "derivative_spread": r"spread of $\phi'(W_1(0)X)$",
}


def draw(metrics: Metrics) -> Figure:
    """Draw the tail of the gradient and the spread of phi', its relative distance from a constant
    matrix.

    Geometric mean over trials, band of one geometric standard deviation, on logarithmic axes. The
    legend gives fitted slopes.
    """
    figure, panels = plt.subplots(1, 2, figsize=(style.PAGE, 2.9))
    names = metrics.activations
    markers = {"markers": list(style.MARKERS[: len(names)]), "markersize": 4}
    for (quantity, words), axes in zip(PANELS.items(), panels, strict=True):
        axes.set(xscale="log", yscale="log")
        style.activation_lines(against_eps(metrics, quantity), axes, x="eps", **markers)
        axes.set(xlabel=r"$\epsilon$", ylabel=words)
        slopes = slope_at_the_start(metrics, quantity).groupby("activation")["value"].mean()
        slopes = slopes.where(slopes.abs() >= 0.005, 0)  # no negative zeros
        labels = []
        for name in names:
            label = registries.activation(name).label
            labels.append(f"{label}, slope {slopes[name]:.2f}")
        handles, _ = axes.get_legend_handles_labels()
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        axes.legend(handles, labels, ncols=2, fontsize=style.NOTE, **place)
    return figure
