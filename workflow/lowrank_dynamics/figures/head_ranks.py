"""Figure 15: low-rank heads of several widths r that start in S_big, against the full one."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.heads import draw_heads, head_curves
from lowrank_dynamics.storage.metrics import Metrics

ENLARGED = 0.8
"""The fraction of the epochs after which accuracy is also drawn larger: the widths lie close
together there.
"""


def draw(metrics: Metrics) -> Figure:
    """Draw accuracy and losses, a line for each width and one for the full head."""
    labels = {}
    for name, variant in metrics.variants.items():
        rank, classes = variant.settings.network.rank or 0, variant.settings.data.classes
        labels[name] = f"$r = {rank // classes}K$"
    full = head_curves(metrics, parameterization="full").assign(network="full")
    low_rank = head_curves(metrics, parameterization="s_big")
    low_rank = low_rank.assign(network=low_rank["variant"].map(labels))
    curves = pd.concat([low_rank, full])
    shades = dict(zip(labels.values(), sns.color_palette("flare", len(labels)), strict=True))
    networks, palette = ["full", *shades], style.NETWORK_COLORS | shades
    figure = plt.figure(figsize=(style.PAGE, 3.8))
    draw_heads(figure, metrics, curves, networks, palette)
    is_late = curves["epoch"] >= ENLARGED * curves["epoch"].max()
    accuracy = curves[is_late & (curves["quantity"] == "test_accuracy")]
    for activation, axes in zip(metrics.activations, figure.axes, strict=False):
        inset = axes.inset_axes((0.62, 0.16, 0.36, 0.36))
        shown = accuracy[accuracy["activation"] == activation]
        style.lines(shown, inset, "network", networks, "epoch", palette=palette, legend=False)
        inset.set(xlabel="", ylabel="", xticks=[shown["epoch"].min(), shown["epoch"].max()])
        inset.tick_params(labelsize=style.NOTE)
    style.legend_below(figure)
    return figure
