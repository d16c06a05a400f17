"""Figure 14: test loss and accuracy of low-rank networks whose factors are rotated away from S_big
by psi degrees.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import of_variants
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS, per_image
from lowrank_dynamics.storage.metrics import Metrics

DASHES = (style.SOLID, style.DASHED, style.DOTTED, style.DASH_DOTTED)
PALEST = 0.9
"""The end of the colors that are used; those beyond are too pale on white."""
STEP = 15.0
"""Degrees between two angles of the paper, which differ in their dashes."""


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation, a line for each angle."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(style.PAGE, 2.3))
    for (quantity, label), axes in zip(PANELS.items(), panels, strict=True):
        draw_angles(metrics, per_image(metrics, quantity), axes)
        axes.set(xlabel="epoch", ylabel=label)
    style.legend_below(figure)
    return figure


def draw_angles(metrics: Metrics, rows: pd.DataFrame, axes: Axes) -> None:
    """Draw rows of the metrics, a line for each angle, in the same color and dashes in every
    figure.
    """
    labels, palette, dashes = {}, {}, {}
    for name, angle in of_variants(metrics, "network.rotation").items():
        label = rf"$\psi = {angle:g}^\circ$"
        labels[name] = label
        palette[label] = plt.colormaps["viridis"](PALEST * angle / 90)
        dashes[label] = DASHES[int(angle / STEP) % len(DASHES)]
    style.variant_lines(rows, axes, labels, palette=palette, dashes=dashes)
