"""Figure 15: low-rank heads of several widths r that start in S_big, against the full one."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.heads import draw_heads, head_curves
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw accuracy and losses, a line for each width and one for the full head."""
    classes = metrics.settings.data.classes
    ranks = {name: variant.settings.network.rank or 0 for name, variant in metrics.variants.items()}
    labels = {name: f"$r = {rank // classes}K$" for name, rank in ranks.items()}
    low_rank = head_curves(metrics, parameterization="s_big")
    full = head_curves(metrics, parameterization="full")
    curves = pd.concat([low_rank.assign(network=low_rank["variant"].map(labels)), full.assign(network="full")])
    palette = [style.COLORS[0], *sns.color_palette("flare", len(labels))]
    figure = plt.figure(figsize=(style.TEXT_WIDTH, 3.4))
    draw_heads(figure, metrics, curves, ["full", *labels.values()], palette)
    style.legend_below(figure)
    return figure
