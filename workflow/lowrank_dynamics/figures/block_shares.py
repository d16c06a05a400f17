"""Figures 3 to 5: how the change of each hidden layer is split among the four blocks."""

from itertools import product
from typing import Literal

import matplotlib.pyplot as plt
from matplotlib.figure import Figure, SubFigure

from lowrank_dynamics.config import registries
from lowrank_dynamics.config.registries import OPTIMIZERS
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw each block's share over training: mean over trials, band of one standard deviation, a
    gray line at one half.

    One hidden layer gives one row of panels, one per activation; several give a row per activation.
    Variants, each with its own optimizer, give groups of rows.
    """
    variants = list(metrics.variants.values())
    layers = metrics.frame("block_share")["layer"].nunique()
    rows = len(metrics.activations) if layers > 1 else 1
    row_height, labels = (1.5, 0.3) if len(variants) == 1 else (0.5, 0.55)
    heights = [row_height * rows + labels] * len(variants)
    if len(variants) > 1:
        heights[-1] += 0.35  # the label of the horizontal axes, and the legend
    figure = plt.figure(figsize=(style.PAGE, sum(heights)))
    groups = figure.subfigures(len(variants), 1, squeeze=False, height_ratios=heights)
    for variant, group in zip(variants, groups.flat, strict=True):
        _draw_variant(variant, group)
        if len(variants) > 1:
            optimizer = OPTIMIZERS[variant.settings.training.optimizer]
            group.suptitle(optimizer.label, x=0.01, ha="left", fontsize=8, weight="bold")
    for group in groups.flat[:-1]:
        plt.setp(group.axes, xlabel="")
    style.legend_below(figure)
    return figure


def _draw_variant(metrics: Metrics, figure: SubFigure) -> None:
    """Draw the panels of one variant; activations with different numbers of steps have separate
    axes.
    """
    shares = metrics.frame("block_share")
    shares["block"] = "block " + shares["index"].astype(str)
    activations, layers = metrics.activations, sorted(shares["layer"].unique())
    cells = product(activations, layers)
    rows, columns = len(activations), len(layers)
    if len(layers) == 1:
        rows, columns = 1, len(activations)
    steps = shares.groupby("activation")["step"].max()
    sharing: Literal["all", "row", "none"] = "none"
    if steps.nunique() == 1:
        sharing = "all"
    elif rows > 1:
        sharing = "row"
    panels = figure.subplots(rows, columns, sharex=sharing, sharey=True, squeeze=False)
    for (activation, layer), axes in zip(cells, panels.flat, strict=True):
        shown = shares[(shares["activation"] == activation) & (shares["layer"] == layer)]
        style.lines(shown, axes, "block", palette=style.COLORS[:4], limits=(0, 1))
        axes.axhline(0.5, color="0.6", linewidth=0.6, zorder=0)
        axes.set(xlabel="", ylabel="", ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    labels = [registries.activation(activation).label for activation in activations]
    plt.setp(panels[-1], xlabel="step $t$")
    plt.setp(panels[:, 0], ylabel="share")
    titles = labels
    if len(layers) > 1:
        titles = [f"layer {layer}" for layer in layers]
        for label, axes in zip(labels, panels[:, 0], strict=True):
            axes.set_ylabel(f"{label}\nshare")
    for title, axes in zip(titles, panels[0], strict=True):
        axes.set_title(title)
