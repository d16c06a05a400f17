"""Figure 12: the norm of the first layer's gradient and its top-K singular values along
training.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import CELL, TRIAL, decay_rate, fitted, until_first_end
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

NORM = r"$\|G_1\|_F$"


def draw(metrics: Metrics) -> Figure:
    """Draw them on a logarithmic axis, a panel per activation, with fitted exponential decay rates.

    Geometric mean over trials until the first of them ends, band of one geometric standard
    deviation; the rates are fitted to each trial until its own end.
    """
    classes = metrics.settings.data.classes
    figure, panels = style.activation_panels(metrics.activations, 2.4, sharey=True)
    for activation, axes in zip(metrics.activations, panels.flat, strict=True):
        norm = metrics.frame("gradient_norm", activation=activation).assign(curve=NORM)
        indices = list(range(1, classes + 1))
        values = metrics.frame("gradient_singular_value", activation=activation, index=indices)
        values["curve"] = r"$\sigma_" + values["index"].astype(str) + r"(G_1)$"
        _draw_panel(pd.concat([norm, values]), metrics, axes)
    panels[0, 0].set_ylabel("norm, singular value")
    style.legend_below(figure)
    return figure


def _draw_panel(curves: pd.DataFrame, metrics: Metrics, axes: Axes) -> None:
    """Draw the curves of one activation, with the range of fitted rates in percent per step."""
    axes.set_yscale("log")
    names = sorted(curves["curve"].unique(), key=lambda name: (name != NORM, name))
    palette = ["black", *style.COLORS[: len(names) - 1]]
    style.lines(until_first_end(curves, metrics, CELL), axes, "curve", names, palette=palette)
    axes.set(xlabel="step $t$", ylabel="")
    own_ends = until_first_end(curves, metrics, TRIAL)
    fits = fitted(own_ends, ["curve", "trial"], decay_rate)
    rates = 100 * fits.groupby("curve")["value"].mean()
    others = rates.drop(NORM)
    norm, values = f"{rates[NORM]:.2f}", f"{others.min():.2f} to {others.max():.2f}"
    text = f"rate, %/step\n{NORM}: {norm}\n$\\sigma_i$: {values}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=style.NOTE)
