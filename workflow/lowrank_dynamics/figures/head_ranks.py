"""Figure 15: low-rank heads of several widths r that start in S_big, against the full one."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lowrank_dynamics.analysis.scaling import of_variants
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.heads import FRAME, PANELS, ROW, draw_heads, head_curves
from lowrank_dynamics.storage.metrics import Metrics

ENLARGED = 0.8
"""The fraction of the epochs after which accuracy is also drawn larger: the widths lie close
together there.
"""
PLACE = 1
"""The column of the enlarged part."""


def draw(metrics: Metrics) -> Figure:
    """Draw accuracy and losses, a line for each width and one for the full head; next to the
    accuracy its end, enlarged, which a frame marks.
    """
    labels = {}
    for name, rank in of_variants(metrics, "network.rank").items():
        labels[name] = f"$r = {rank // metrics.settings.data.classes:g}K$"
    full = head_curves(metrics, parameterization="full").assign(network="full")
    low_rank = head_curves(metrics, parameterization="s_big")
    low_rank = low_rank.assign(network=low_rank["variant"].map(labels))
    curves = pd.concat([low_rank, full])
    shades = dict(zip(labels.values(), sns.color_palette("flare", len(labels)), strict=True))
    networks, palette = ["full", *shades], style.NETWORK_COLORS | shades
    activations = metrics.activations
    size = (style.PAGE, FRAME + ROW * len(activations))
    figure, panels = plt.subplots(len(activations), 1 + len(PANELS), figsize=size, squeeze=False)
    draw_heads(np.delete(panels, PLACE, axis=1), metrics, curves, networks, palette)
    is_late = curves["epoch"] >= ENLARGED * curves["epoch"].max()
    accuracy = curves[is_late & (curves["quantity"] == "test_accuracy")]
    for activation, row in zip(activations, panels, strict=True):
        shown = accuracy[accuracy["activation"] == activation]
        enlarged = row[PLACE]
        style.lines(shown, enlarged, "network", networks, "epoch", palette=palette)
        enlarged.set(xlabel="epoch", ylabel="")
        enlarged.label_outer()
        enlarged.tick_params(labelleft=True)
        _mark(row[0], enlarged)
    panels[0, PLACE].set_title("framed part (%)")
    style.legend_below(figure)
    return figure


def _mark(axes: Axes, enlarged: Axes) -> None:
    """Frame the part of some axes that others show enlarged."""
    (left, right), (low, high) = enlarged.get_xlim(), enlarged.get_ylim()
    frame = Rectangle((left, low), right - left, high - low)
    frame.set(facecolor="none", edgecolor="0.3", linewidth=0.6, zorder=3)
    axes.add_patch(frame)
    enlarged.spines[:].set(visible=True, color="0.3")
