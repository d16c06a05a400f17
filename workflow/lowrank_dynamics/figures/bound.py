"""Figure bound: the updates of blocks 2 to 4 against the bound of theorem 3.5, which the paper does not plot."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import update_ratio, while_all_run
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

BOUND = r"$\eta\,\rho(t)$"


def draw(metrics: Metrics) -> Figure:
    """Draw both on a logarithmic axis: a row for each eps, a column for each activation, with the largest ratio.

    Geometric mean over trials until the first of them ends, band of one geometric standard deviation.
    """
    activations, variants = metrics.activations, list(metrics.variants.values())
    figure, panels = plt.subplots(
        len(variants),
        len(activations),
        figsize=(style.TEXT_WIDTH, 0.4 + 1.3 * len(variants)),
        layout="constrained",
        sharex="col",
        sharey="row",
        squeeze=False,
    )
    for variant, row in zip(variants, panels, strict=True):
        for activation, axes in zip(activations, row, strict=True):
            _draw_panel(variant, activation, axes)
        row[0].set_ylabel(rf"$\epsilon = {variant.settings.network.eps:g}$")
    for axes in panels[-1]:
        axes.set_xlabel("step $t$")
    for axes, title in zip(panels[0], style.activation_labels(activations), strict=True):
        axes.set_title(title)
    style.legend_below(figure, figure.axes[0])
    return figure


def _draw_panel(metrics: Metrics, activation: str, axes: Axes) -> None:
    """Draw the updates and the bound of one cell, and say how large their ratio becomes."""
    bounds = metrics.frame("update_bound", activation=activation)
    updates = metrics.frame("block_update", activation=activation, index=[2, 3, 4])
    names = [BOUND, *(f"block {block}" for block in (2, 3, 4))]
    updates["curve"] = "block " + updates["index"].astype(str)
    curves = while_all_run(pd.concat([bounds.assign(curve=BOUND), updates]), metrics)
    axes.set_yscale("log")
    style.lines(curves, axes, "curve", names, palette=["black", *style.COLORS[1:4]])
    axes.set(xlabel="", ylabel="")
    text = rf"ratio $\leq$ {update_ratio(bounds, updates).max():.2f}"
    axes.text(0.96, 0.05, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=6)
