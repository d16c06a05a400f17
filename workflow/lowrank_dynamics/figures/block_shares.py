"""Figures 3 to 5: how the change of each hidden layer is shared among the four blocks."""

from typing import Literal

import matplotlib.pyplot as plt
from matplotlib.figure import Figure, SubFigure

from lowrank_dynamics.config.registries import OPTIMIZERS
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw each block's share over training: mean over trials, band of one standard deviation.

    One hidden layer makes one row of panels, an activation each; several make a row for each activation. Variants,
    each with an optimizer of its own, make groups of rows.
    """
    variants = list(metrics.variants.values())
    rows = len(metrics.activations) if len(_layers(metrics)) > 1 else 1
    height = (1.5 if len(variants) == 1 else 0.85) * rows + 0.3
    figure = plt.figure(figsize=(style.TEXT_WIDTH, height * len(variants)))
    for variant, group in zip(variants, figure.subfigures(len(variants), 1, squeeze=False).flat, strict=True):
        draw_block_shares(variant, group)
        if len(variants) > 1:
            group.suptitle(OPTIMIZERS[variant.settings.training.optimizer].label, fontsize=8, weight="bold")
    style.legend_below(figure)
    return figure


def draw_block_shares(metrics: Metrics, figure: Figure | SubFigure) -> None:
    """Draw the panels of one variant; activations that took different numbers of steps have axes of their own."""
    shares = metrics.frame("block_share")
    shares["block"] = "block " + shares["index"].astype(str)
    activations, layers = metrics.activations, _layers(metrics)
    cells = [(activation, layer) for activation in activations for layer in layers]
    rows, columns = (1, len(cells)) if len(layers) == 1 else (len(activations), len(layers))
    as_long = shares.groupby("activation", observed=True)["step"].max().nunique() == 1
    sharing: Literal["all", "row", "none"] = "all" if as_long else "row" if rows > 1 else "none"
    panels = figure.subplots(rows, columns, sharex=sharing, sharey=True, squeeze=False)
    for (activation, layer), axes in zip(cells, panels.flat, strict=True):
        shown = shares[(shares["activation"] == activation) & (shares["layer"] == layer)]
        style.lines(shown, axes, "block", palette=style.COLORS[:4])
        title = style.activation_labels([activation])[0] + (f", layer {layer}" if len(layers) > 1 else "")
        axes.set(title=title, xlabel="", ylabel="", ylim=(-0.03, 1.03))
    for axes in panels[-1]:
        axes.set_xlabel("step $t$")
    for axes in panels[:, 0]:
        axes.set_ylabel("share")


def _layers(metrics: Metrics) -> list[int]:
    return sorted(metrics.frame("block_share")["layer"].unique())
