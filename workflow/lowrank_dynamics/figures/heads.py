"""Figure 7: full and low-rank heads on VGG-16's convolutions, trained with them (a) and alone (b)."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

CLASSES = 10
PANELS = {"test_accuracy": "test accuracy (%)", "test_loss": "loss"}


def draw(full_model: Metrics, heads: Metrics) -> Figure:
    """Draw accuracy and losses of the full head and the low-rank ones; the full model above the heads alone."""
    narrowest, *_ = heads.variants.values()
    figure = plt.figure(figsize=(style.TEXT_WIDTH, 6.4), layout="constrained")
    grid = figure.add_gridspec(2)
    parts = [figure.add_subfigure(place) for place in (grid[0], grid[1])]
    labels = list(style.PARAMETERIZATIONS.values())
    for part, metrics, title in zip(parts, (full_model, narrowest), ("(a) full model", "(b) head only"), strict=True):
        curves = head_curves(metrics)
        curves["network"] = curves["parameterization"].map(style.PARAMETERIZATIONS)
        draw_heads(part, metrics, curves, labels, style.COLORS[:3])
        part.suptitle(title, x=0, ha="left", fontsize=8)
    style.legend_below(figure, parts[1].axes[0])
    return figure


def head_curves(metrics: Metrics, **equal: Any) -> pd.DataFrame:
    """Return the losses, and the test accuracy in per cent, of the rows with these values, with their `epoch`."""
    curves = pd.concat(metrics.frame(quantity, **equal) for quantity in ("test_accuracy", "test_loss", "train_loss"))
    curves.loc[curves["quantity"] == "test_accuracy", "value"] *= 100
    return curves.assign(epoch=curves["step"] / _steps_per_epoch(metrics))


def draw_heads(
    figure: Figure | SubFigure, metrics: Metrics, curves: pd.DataFrame, networks: Sequence[str], palette: Sequence[Any]
) -> None:
    """Draw the curves of some `networks`, the values of that column: rows accuracy and loss, columns activations.

    The mean over trials with a band of one standard deviation, against epochs and, on top, steps. The training loss is
    thin; the grey line is the loss at chance, log K, of outputs that say nothing.
    """
    panels = figure.subplots(len(PANELS), len(metrics.activations), sharex=True, sharey="row", squeeze=False)
    widths = {"test_accuracy": (0, 1.2), "test_loss": (1, 1.2), "train_loss": (1, 0.5)}
    for activation, title, column in zip(
        metrics.activations, style.activation_labels(metrics.activations), panels.T, strict=True
    ):
        for quantity, (row, width) in widths.items():
            shown = curves[(curves["activation"] == activation) & (curves["quantity"] == quantity)]
            style.lines(shown, column[row], "network", networks, x="epoch", palette=palette, linewidth=width)
        column[0].set_title(title)
        _finish(column, metrics)


def _finish(column: Sequence[Axes], metrics: Metrics) -> None:
    """Label the axes of one activation, add the one that counts steps, and the loss at chance."""
    for axes, label in zip(column, PANELS.values(), strict=True):
        axes.set(xlabel="epoch", ylabel=label)
    count = _steps_per_epoch(metrics)
    steps = column[0].secondary_xaxis("top", functions=(partial(np.multiply, count), partial(np.multiply, 1 / count)))
    steps.set_xlabel("step")
    steps.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    column[1].set_ylim(0, max(column[1].get_ylim()[1], 1.05 * math.log(CLASSES)))
    column[1].axhline(math.log(CLASSES), color="0.6", linewidth=0.6, zorder=0)


def _steps_per_epoch(metrics: Metrics) -> int:
    data, training = metrics.settings.data, metrics.settings.training
    return math.ceil(data.training_samples / (training.batch_size or data.training_samples))
