"""Figure rank_of_change: how many directions hold 99 % of the squared change of a layer, against
the classes K.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import against_setting
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

CLASSES = "data.classes"


def draw(two_layers: Metrics, four_layers: Metrics) -> Figure:
    """Draw the geometric mean over trials with a band of one geometric standard deviation: layer 1
    of two, then layers 1 to 3 of four.

    The gray lines are K and 2K.
    """
    panels = {"two layers": against_setting(two_layers, "change_rank", CLASSES)}
    for layer, rows in against_setting(four_layers, "change_rank", CLASSES).groupby("layer"):
        panels[f"layer {layer} of four"] = rows
    figure, grid = plt.subplots(1, len(panels), figsize=(style.PAGE, 2.1), sharey=True)
    for (title, rows), axes in zip(panels.items(), grid, strict=True):
        _draw_panel(rows, axes)
        axes.set(title=title, xlabel="$K$", ylabel="directions that hold 99 %")
    style.legend_below(figure)
    return figure


def _draw_panel(rows: pd.DataFrame, axes: Axes) -> None:
    classes = np.sort(rows[CLASSES].unique())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    markers = list(style.MARKERS[: rows["activation"].nunique()])
    style.activation_lines(rows, axes, x=CLASSES, markers=markers, markersize=4)
    for factor in (1, 2):
        axes.plot(classes, factor * classes, color="0.6", linewidth=0.6, zorder=0)
    axes.set_xticks(classes, [f"{count:g}" for count in classes])
