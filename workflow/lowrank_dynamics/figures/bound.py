"""Figure bound: the updates of blocks 2 to 4 against the bound of theorem 3.5, which the paper does
not plot.
"""

import math

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import CELL, until_first_end
from lowrank_dynamics.analysis.measures import update_ratio
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

BOUND = r"$\eta\,\rho(t)$"


def draw(metrics: Metrics) -> Figure:
    """Draw both on a logarithmic axis: a row for each eps, a column for each activation, with the
    largest ratio.

    Geometric mean over trials until the first of them ends, band of one geometric standard
    deviation.
    """
    variants = list(metrics.variants.values())
    figure, panels = style.activation_panels(
        metrics.activations,
        0.4 + 1.3 * len(variants),
        rows=len(variants),
        sharex="col",
        sharey="row",
    )
    for variant, row in zip(variants, panels, strict=True):
        for activation, axes in zip(metrics.activations, row, strict=True):
            _draw_panel(variant, activation, axes)
        row[0].set_ylabel(rf"$\epsilon = {variant.settings.network.eps:g}$")
    plt.setp(panels[-1], xlabel="step $t$")
    figure.supylabel(r"size of an update / $\sqrt{p}$", fontsize=8)
    style.legend_below(figure)
    return figure


def _draw_panel(metrics: Metrics, activation: str, axes: Axes) -> None:
    """Draw the updates and the bound of one cell, and state their largest ratio."""
    bounds = metrics.frame("update_bound", activation=activation).assign(curve=BOUND)
    updates = metrics.frame("block_update", activation=activation, index=[2, 3, 4])
    updates["curve"] = "block " + updates["index"].astype(str)
    curves = until_first_end(pd.concat([bounds, updates]), metrics, CELL)
    axes.set_yscale("log")
    names = [BOUND, "block 2", "block 3", "block 4"]
    style.lines(curves, axes, "curve", names, palette=["black", *style.COLORS[1:4]])
    axes.set(xlabel="", ylabel="")
    largest = update_ratio(metrics).groupby("activation")["value"].max()
    rounded_up = math.ceil(1000 * largest[activation]) / 1000
    text = rf"ratio $\leq$ {rounded_up:.3f}"
    axes.text(
        0.96, 0.05, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=style.NOTE
    )
