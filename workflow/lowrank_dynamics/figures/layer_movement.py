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

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.singular_values import draw_singular_values
from lowrank_dynamics.storage.metrics import Metrics

MEASURES = {"sine": r"$\|\sin\Theta\|_2/\sqrt{\dim}$", "angle": "largest angle (°)"}


def draw(metrics: Metrics, layer: int) -> Figure:
    """Draw the six networks' singular values, then the movement of each group: a row for each
    measure and side.
    """
    figure = plt.figure(figsize=(style.PAGE, 8.2))
    spectra, distances = figure.subfigures(2, 1, height_ratios=[2, 4], squeeze=False).flat
    activations = metrics.activations
    rows = math.ceil(len(activations) / 3)
    panels = spectra.subplots(rows, 3, sharex=True, sharey=True, squeeze=False)
    draw_singular_values(metrics, layer, activations, panels.flat)
    for axes in panels.flat[len(activations) :]:
        axes.set_visible(False)
    plt.setp(panels[:, 0], ylabel=rf"$\sigma_i(W_{layer}(t))$")
    style.legend_below(spectra)
    grid = distances.subplots(4, 3, sharex=True, sharey="row")
    for row, (measure, side) in zip(grid, product(MEASURES, ("left", "right")), strict=True):
        for (group, label), axes in zip(style.GROUP_LABELS.items(), row, strict=True):
            draw_movement(metrics, layer, f"{measure}_{side}_{group}", axes)
            axes.set_title(f"{label}, {side}")
        row[0].set_ylabel(MEASURES[measure])
    style.legend_below(distances)
    return figure


def draw_movement(metrics: Metrics, layer: int, quantity: str, axes: Axes, **equal: Any) -> None:
    """Draw a movement such as `sine_left_top` in one layer, angles in degrees, from the reference
    iterate on.
    """
    moved = metrics.frame(quantity, layer=layer, **equal)
    if quantity.startswith("angle"):
        moved["value"] = np.degrees(moved["value"])
    else:
        _draw_limits(metrics, quantity, axes)
    style.activation_lines(moved, axes)
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
    axes.axhline(largest, color="0.6", linewidth=0.8)
    axes.axhline(random, color="0.6", linewidth=0.8, linestyle=":")
