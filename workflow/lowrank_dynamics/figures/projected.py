"""Figure projected: networks whose hidden layers may move inside or outside of block 1 only."""

import math

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from lowrank_dynamics.analysis.trial_values import with_start
from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import per_image
from lowrank_dynamics.storage.metrics import Metrics

ARMS = {
    "whole": "all updates",
    "inside": "inside block 1",
    "outside": "outside block 1",
    "random_inside": "inside a random block",
    "random_outside": "outside a random block",
    "renewed": "inside the gradient's, renewed",
    "last_layer": "output layer only",
}
"""The variants by name, with their labels."""


def draw(synthetic: Metrics, images: Metrics) -> Figure:
    """Draw the training loss of the case study, relative to the first of the same trial, and the
    test accuracy on images: a panel for each activation, a line for each arm.

    Mean over trials, geometric for the loss, band of one standard deviation.
    """
    figure = plt.figure(figsize=(style.PAGE, 6.2))
    above, below = figure.subfigures(2, 1, height_ratios=[2, 1.25], squeeze=False).flat
    losses = with_start(synthetic.frame("train_loss"))
    shown = losses.assign(value=losses["value"] / losses["start"])
    _draw_panels(above, shown, synthetic.activations, columns=3, scale="log")
    plt.setp(above.axes, xlabel="step $t$", ylabel="training loss / first")
    accuracies = per_image(images, "test_accuracy")
    _draw_panels(below, accuracies, images.activations, columns=len(images.activations))
    plt.setp(below.axes, xlabel="epoch", ylabel="test accuracy (%)")
    for axes in figure.axes:
        axes.label_outer()
    style.legend_below(above, columns=4)
    _remove_legends(below)
    return figure


def _draw_panels(
    figure: SubFigure, rows: pd.DataFrame, names: list[str], columns: int, scale: str = "linear"
) -> None:
    """Draw a panel for each activation, on an axis of this scale."""
    count = math.ceil(len(names) / columns)
    panels = figure.subplots(count, columns, sharex=True, sharey="row", squeeze=False)
    plt.setp(panels.flat, yscale=scale)
    for name, axes in zip(names, panels.flat, strict=False):
        shown = rows[rows["activation"] == name]
        style.variant_lines(shown, axes, ARMS, linewidth=1.0)
        axes.set_title(registries.activation(name).label)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)


def _remove_legends(figure: SubFigure) -> None:
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None:
            legend.remove()
