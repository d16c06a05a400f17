"""Figure past_the_fit: the share of block 1 long after the linear fit, against the width."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import of_variants
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw the share of block 1 of W_1, and the training loss, a line for each width and a column
    for each activation.

    Mean over trials, geometric for the loss, band of one standard deviation.
    """
    names = metrics.activations
    figure, panels = style.activation_panels(names, 3.4, rows=2, sharex=True, sharey="row")
    shares = metrics.frame("block_share", layer=1, index=1)
    losses = metrics.frame("train_loss")
    for name, (share, loss) in zip(names, panels.T, strict=True):
        _draw_widths(metrics, shares[shares["activation"] == name], share)
        share.set(ylim=(-0.03, 1.03), ylabel="share of block 1")
        loss.set_yscale("log")
        _draw_widths(metrics, losses[losses["activation"] == name], loss)
        loss.set(xlabel="step $t$", ylabel="training loss")
        share.label_outer()
        loss.label_outer()
    style.legend_below(figure)
    return figure


def _draw_widths(metrics: Metrics, rows: pd.DataFrame, axes: Axes) -> None:
    widths = {}
    for name, width in of_variants(metrics, "network.width").items():
        widths[name] = f"$m = {width:g}$"
    style.variant_lines(rows, axes, widths, palette="viridis")
