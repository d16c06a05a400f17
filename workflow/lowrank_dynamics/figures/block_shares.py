"""Figures 3 and 4: how the change of each hidden layer is shared among the four blocks."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw each block's share over training: mean over trials, band of one standard deviation.

    One hidden layer makes one row of panels, an activation each; several make a row for each activation.
    """
    shares = metrics.frame("block_share")
    shares["block"] = "block " + shares["index"].astype(str)
    activations, layers = metrics.activations, sorted(shares["layer"].unique())
    cells = [(activation, layer) for activation in activations for layer in layers]
    rows, columns = (1, len(cells)) if len(layers) == 1 else (len(activations), len(layers))
    size = (style.TEXT_WIDTH, 0.3 + 1.5 * rows)
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", sharey=True, squeeze=False)
    for (activation, layer), axes in zip(cells, panels.flat, strict=True):
        sns.lineplot(
            shares[(shares["activation"] == activation) & (shares["layer"] == layer)],
            x="step",
            y="value",
            hue="block",
            palette=style.COLORS[:4],
            style="block",
            **style.BAND,
            ax=axes,
        )
        title = style.activation_labels([activation])[0] + (f", layer {layer}" if len(layers) > 1 else "")
        axes.set(title=title, xlabel="step $t$", ylabel="", ylim=(-0.03, 1.03))
    for axes in panels[:, 0]:
        axes.set_ylabel("share of the change")
    style.legend_below(figure, panels[0, 0])
    return figure
