"""Figure transformer: the share of block 1 in the MLP of one transformer block."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import per_image
from lowrank_dynamics.storage.metrics import Metrics

ARMS = {
    "small_descent": r"gradient descent, $\epsilon = 0.1$",
    "usual_descent": r"gradient descent, $\epsilon = 1$",
    "small_adam": r"Adam, $\epsilon = 0.1$",
    "usual_adam": r"Adam, $\epsilon = 1$",
}
"""The variants by name, with their labels."""


def draw(outputs: Metrics, spectrum: Metrics) -> Figure:
    """Draw the share of block 1 of W_1 and W_2, a row for either K, and the test accuracy: a line
    for each arm, mean over trials with a band of one standard deviation.
    """
    figure, rows = plt.subplots(2, 3, figsize=(style.PAGE, 4.2), sharex=True, squeeze=False)
    for metrics, (first, second, accuracy) in zip((outputs, spectrum), rows, strict=True):
        rank = metrics.settings.observe.block_rank or metrics.settings.data.classes
        for layer, axes in ((1, first), (2, second)):
            shares = metrics.frame("block_share", layer=layer, index=1)
            style.variant_lines(shares, axes, ARMS, linewidth=1.0)
            look: dict[str, Any] = {"color": "black", "linewidth": 0.6, "linestyle": ":"}
            axes.axhline(_by_chance(metrics, rank), label="a change without direction", **look)
            axes.set(ylim=(0, 1.02), ylabel=f"share of block 1, $K = {rank}$")
            axes.set_title(f"$W_{layer}$" if metrics is outputs else "")
        style.variant_lines(per_image(metrics, "test_accuracy"), accuracy, ARMS, linewidth=1.0)
        accuracy.set(ylabel="test accuracy (%)")
    for axes in rows[-1]:
        axes.set_xlabel("step $t$")
    style.legend_below(figure, columns=3)
    return figure


def _by_chance(metrics: Metrics, rank: int) -> float:
    """Return the share of block 1 in a change whose entries have one variance: its part of all.

    Either layer has 2K of w directions on one side and 4w - (w - 2K) of 4w on the other.
    """
    width = metrics.settings.network.width
    return 2 * rank / width * (3 * width + 2 * rank) / (4 * width)
