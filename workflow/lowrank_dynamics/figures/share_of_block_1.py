"""Figure share_of_block_1: what lies outside block 1, against width, samples, dimension and
depth.
"""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import against_setting
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {
    "m": ("network.width", "width $m$"),
    "n": ("data.samples", "samples $N$"),
    "d": ("data.dimension", "inputs $d$"),
}
"""By a variant's first letter, the setting it varies and its label."""
DEPTH = "network.depth"


def draw(sizes: Metrics, depths: Metrics) -> Figure:
    """Draw 1 - share of block 1 where trials end, on logarithmic axes: layer 1 of two, then the
    layers of ELU by depth.

    Geometric mean over trials, band of one geometric standard deviation.
    """
    figure, panels = plt.subplots(1, len(PANELS) + 1, figsize=(style.PAGE, 2.1), sharey=True)
    for (letter, (setting, label)), axes in zip(PANELS.items(), panels[:-1], strict=True):
        variants = [name for name in sizes.variants if name.startswith(f"{letter}_")]
        rows = against_setting(sizes, "block_share", setting, 1, variants)
        rows = rows.assign(value=1 - rows["value"])
        axes.set(xscale="log", yscale="log")
        markers = list(style.MARKERS[: len(sizes.activations)])
        style.activation_lines(rows, axes, x=setting, markers=markers, markersize=4)
        _ticks(axes, rows[setting])
        axes.set(xlabel=label, ylabel="1 - share of block 1")
    style.legend_below(figure)
    _draw_depths(depths, panels[-1])
    return figure


def _draw_depths(depths: Metrics, axes: Axes) -> None:
    """Draw a line for each layer against the depth."""
    rows = against_setting(depths, "block_share", DEPTH, 1)
    rows = rows.assign(value=1 - rows["value"], layer="layer " + rows["layer"].astype(str))
    layers = rows["layer"].nunique()
    palette = sns.color_palette("flare", layers)
    markers = list(style.MARKERS[:layers])
    style.lines(rows, axes, "layer", x=DEPTH, palette=palette, markers=markers, markersize=4)
    _ticks(axes, rows[DEPTH])
    axes.legend(fontsize=style.NOTE, title=None)
    axes.set(xlabel="depth $L$, ELU", ylabel="")


def _ticks(axes: Axes, values: "pd.Series[float]") -> None:
    """Put a tick at each value of a setting, and nowhere else."""
    places = sorted(values.unique())
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()
