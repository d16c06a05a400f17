"""Figures 8 to 10: singular values and subspace movement of one hidden layer of all six
networks.
"""

import math
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lowrank_dynamics.config.registries import SIDES
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.singular_values import draw_singular_values
from lowrank_dynamics.storage.metrics import Metrics

MEASURES = {"sine": r"$\|\sin\Theta\|_2/\sqrt{\dim}$", "angle": "largest angle (°)"}
LIMITS = {"sine": (0, 1), "angle": (0, 90)}
TICKS = {"sine": (0, 0.5, 1), "angle": (0, 30, 60, 90)}
MARGIN = 0.04
"""The part of the limits by which an axis exceeds them, so that lines at a limit are whole."""


def draw(metrics: Metrics, layer: int) -> Figure:
    """Draw the six networks' singular values, then the movement of each group: a row for each
    measure and side.
    """
    figure = plt.figure(figsize=(style.PAGE, 6.75))
    spectra, distances = figure.subfigures(2, 1, height_ratios=[2.4, 4.35], squeeze=False).flat
    activations = metrics.activations
    rows = math.ceil(len(activations) / 3)
    panels = spectra.subplots(rows, 3, sharex=True, sharey=True, squeeze=False)
    draw_singular_values(metrics, layer, activations, panels.flat)
    for axes in panels.flat[len(activations) :]:
        axes.set_visible(False)
    plt.setp(panels[:, 0], ylabel=rf"$\sigma_i(W_{layer}(t))$")
    for axes in panels.flat:
        axes.label_outer()
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    style.legend_below(spectra)
    grid = distances.subplots(4, 3, sharex=True, sharey="row")
    for row, (measure, side) in zip(grid, product(MEASURES, SIDES), strict=True):
        for group, axes in zip(style.GROUP_LABELS, row, strict=True):
            draw_movement(metrics, layer, f"{measure}_{side}_{group}", axes)
            axes.set_ylabel(f"{MEASURES[measure]}\n{side}")
            axes.label_outer()
    for label, axes in zip(style.GROUP_LABELS.values(), grid[0], strict=True):
        axes.set_title(label)
    style.legend_below(distances, columns=4)
    return figure


def draw_movement(metrics: Metrics, layer: int, quantity: str, axes: Axes, **equal: Any) -> None:
    """Draw a movement such as `sine_left_top` in one layer, angles in degrees, from the reference
    iterate on.
    """
    moved = metrics.frame(quantity, layer=layer, **equal)
    measure, *_ = quantity.split("_")
    if measure == "angle":
        moved["value"] = np.degrees(moved["value"])
    least, most = LIMITS[measure]
    style.activation_lines(moved, axes, limits=(least, most))
    if measure == "sine":
        _draw_limits(metrics, quantity, axes)
    margin = MARGIN * most
    axes.set(ylim=(least - margin, most + margin), yticks=TICKS[measure])
    axes.set(xlabel="step $t$", ylabel="")


def _draw_limits(metrics: Metrics, quantity: str, axes: Axes) -> None:
    """Draw the largest possible distance of two subspaces (solid), and that of two random ones
    (dotted).

    Two subspaces of dimension k in R^n have at most min(k, n - k) principal angles that are not
    zero; the squared sines of two random ones sum up to k (n - k) / n in the mean.
    """
    settings = metrics.settings
    n, classes = settings.network.width, settings.data.classes
    k = n - 2 * classes if quantity.endswith("middle") else classes
    largest = (min(k, n - k) / k) ** 0.5
    random = ((n - k) / n) ** 0.5
    look: dict[str, Any] = {"color": "0.6", "linewidth": 0.8, "zorder": 0}
    axes.axhline(largest, label="largest possible", **look)
    axes.axhline(random, label="random subspaces", linestyle=":", **look)
