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
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {
    "test_accuracy": "test accuracy (%)",
    "test_loss": "test loss",
    "train_loss": "training loss",
}
TITLES = ("(a) full model", "(b) head only")
ROW, FRAME = 1.25, 0.85
"""The heights of a row of panels, and of what is around them, in inches."""


def draw(*runs: Metrics) -> Figure:
    """Draw accuracy and losses of the full head and the low-rank ones; the full model, if it was
    run, above the heads alone.
    """
    parts = {}
    for title, metrics in zip(TITLES[-len(runs) :], runs, strict=True):
        narrowest, *_ = metrics.variants.values()
        parts[title] = narrowest
    heights = [FRAME + ROW * len(part.activations) for part in parts.values()]
    figure = plt.figure(figsize=(style.PAGE, sum(heights)))
    labels = {}
    for name in ("full", "s_big", "random"):
        labels[name] = registries.PARAMETERIZATIONS[name].label
    subfigures = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)
    for (title, metrics), part in zip(parts.items(), subfigures.flat, strict=True):
        curves = head_curves(metrics)
        curves["network"] = curves["parameterization"].map(labels)
        panels = part.subplots(len(metrics.activations), len(PANELS), squeeze=False)
        draw_heads(panels, metrics, curves, list(labels.values()), style.NETWORK_COLORS)
        part.suptitle(title, x=0.005, ha="left")
        _say_if_untrained(metrics, part)
    style.legend_below(figure)
    return figure


def head_curves(metrics: Metrics, **equal: Any) -> pd.DataFrame:
    """Return the losses, and the test accuracy in percent, of the rows with these values, with
    their `epoch`.
    """
    curves = pd.concat(metrics.frame(quantity, **equal) for quantity in PANELS)
    curves.loc[curves["quantity"] == "test_accuracy", "value"] *= 100
    return curves.assign(epoch=curves["step"] / metrics.settings.steps_per_epoch)


def draw_heads(
    panels: NDArray[Any],
    metrics: Metrics,
    curves: pd.DataFrame,
    networks: Sequence[str],
    palette: Mapping[str, Any],
) -> None:
    """Draw the curves of `networks`, values of that column, into `panels`: a row for each
    activation, a column for each of `PANELS`.

    The horizontal axes count epochs and, on top, steps. The gray line is the loss at chance, log K,
    of outputs that say nothing.
    """
    chance = math.log(metrics.settings.data.classes)
    for activation, row in zip(metrics.activations, panels, strict=True):
        of_activation = curves[curves["activation"] == activation]
        losses = of_activation[of_activation["quantity"] != "test_accuracy"]
        highest = 1.05 * max(losses["value"].max(), chance)
        for (quantity, title), axes in zip(PANELS.items(), row, strict=True):
            shown = of_activation[of_activation["quantity"] == quantity]
            style.lines(shown, axes, "network", networks, "epoch", palette=palette)
            axes.set(xlabel="epoch", ylabel="", ylim=(0, highest))
            if quantity == "test_accuracy":
                axes.set(ylabel=registries.activation(activation).label, ylim=(0, 100))
            else:
                axes.axhline(chance, color="0.6", linewidth=0.6, zorder=0)
            axes.label_outer()
            axes.tick_params(labelleft=True)
            if axes in panels[0]:
                axes.set_title(title)
                _count_steps(axes, metrics.settings.steps_per_epoch)


def _count_steps(axes: Axes, count: int) -> None:
    """Draw a second horizontal axis on top, for `count` steps an epoch."""
    to_steps, to_epochs = partial(np.multiply, count), partial(np.multiply, 1 / count)
    steps = axes.secondary_xaxis("top", functions=(to_steps, to_epochs))
    steps.set_xlabel("step")
    steps.xaxis.set_major_locator(MaxNLocator(3, integer=True))


def _say_if_untrained(metrics: Metrics, figure: SubFigure) -> None:
    """Write into every panel that nothing is learned yet if the full network's loss is within 1 %
    of chance.
    """
    losses = metrics.frame("train_loss", parameterization="full")
    last = losses.loc[losses["step"] == losses["step"].max(), "value"]
    if last.mean() <= 0.99 * math.log(metrics.settings.data.classes):
        return
    text = (
        f"nothing is learned in {metrics.settings.training.steps} steps ({metrics.trials_in_words})"
    )
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": "firebrick"}
    for axes in figure.axes:
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
