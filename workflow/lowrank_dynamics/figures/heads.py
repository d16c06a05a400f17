"""Figure 7: full and low-rank heads on VGG-16's convolutions, trained with them (a) and alone
(b).
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(full_model: Metrics, heads: Metrics) -> Figure:
    """Draw accuracy and losses of the full head and the low-rank ones; the full model above the
    heads alone.
    """
    narrowest, *_ = heads.variants.values()
    figure = plt.figure(figsize=(style.PAGE, 6.6))
    parts = {"(a) full model": full_model, "(b) head only": narrowest}
    labels = {}
    for name in ("full", "s_big", "random"):
        labels[name] = registries.PARAMETERIZATIONS[name].label
    subfigures = figure.subfigures(2, 1, squeeze=False)
    for (title, metrics), part in zip(parts.items(), subfigures.flat, strict=True):
        curves = head_curves(metrics)
        curves["network"] = curves["parameterization"].astype(str).map(labels)
        draw_heads(part, metrics, curves, list(labels.values()), style.NETWORK_COLORS)
        part.suptitle(title, x=0.005, ha="left")
        _say_if_untrained(metrics, part)
    style.legend_below(figure)
    return figure


def head_curves(metrics: Metrics, **equal: Any) -> pd.DataFrame:
    """Return the losses, and the test accuracy in percent, of the rows with these values, with
    their `epoch`.
    """
    quantities = ("test_accuracy", "test_loss", "train_loss")
    curves = pd.concat(metrics.frame(quantity, **equal) for quantity in quantities)
    curves.loc[curves["quantity"] == "test_accuracy", "value"] *= 100
    return curves.assign(epoch=curves["step"] / _steps_per_epoch(metrics))


def draw_heads(
    figure: Figure | SubFigure,
    metrics: Metrics,
    curves: pd.DataFrame,
    networks: Sequence[str],
    palette: Mapping[str, Any],
) -> None:
    """Draw the curves of `networks`, values of that column: rows are accuracy and loss, columns
    activations.

    The horizontal axes count epochs and, on top, steps. The training loss is thin; the gray line is
    the loss at chance, log K, of outputs that say nothing.
    """
    panels = figure.subplots(2, len(metrics.activations), sharex=True, sharey="row", squeeze=False)
    count, chance = _steps_per_epoch(metrics), math.log(metrics.settings.data.classes)
    for activation, (above, below) in zip(metrics.activations, panels.T, strict=True):
        of_activation = curves[curves["activation"] == activation]
        for quantity, axes, width in (
            ("test_accuracy", above, 1.2),
            ("test_loss", below, 1.2),
            ("train_loss", below, 0.5),
        ):
            shown = of_activation[of_activation["quantity"] == quantity]
            style.lines(shown, axes, "network", networks, "epoch", palette=palette, linewidth=width)
        title = registries.activation(activation).label
        above.set(title=title, xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 100))
        below.set(xlabel="epoch", ylabel="loss", ylim=(0, max(below.get_ylim()[1], 1.05 * chance)))
        below.axhline(chance, color="0.6", linewidth=0.6, zorder=0)
        for axes in (above, below):
            axes.label_outer()
        to_steps, to_epochs = partial(np.multiply, count), partial(np.multiply, 1 / count)
        steps = above.secondary_xaxis("top", functions=(to_steps, to_epochs))
        steps.set_xlabel("step")
        steps.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _say_if_untrained(metrics: Metrics, figure: SubFigure) -> None:
    """Write into every panel that nothing is learned yet if the full network's loss is within 1 %
    of chance.
    """
    losses = metrics.frame("train_loss", parameterization="full")
    last = losses.loc[losses["step"] == losses["step"].max(), "value"]
    if last.mean() <= 0.99 * math.log(metrics.settings.data.classes):
        return
    text = f"nothing is learned in {metrics.settings.training.steps} steps ({metrics.trials})"
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": "firebrick"}
    for axes in figure.axes:
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)


def _steps_per_epoch(metrics: Metrics) -> int:
    samples = metrics.settings.data.training_samples
    batch_size = metrics.settings.training.batch_size or samples
    return math.ceil(samples / batch_size)
