"""Figure 13: the tail of the first layer's gradient against the K-th singular value of the signal."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import gradient_gap, while_all_run
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw sigma_{K+1}(G_1(t)) and sigma_K(W_2' Y X'), a panel an activation, with the smallest G_3 of assumption 3.4.

    Mean over trials until the first of them ends, band of one standard deviation.
    """
    activations, classes = metrics.activations, metrics.settings.data.classes
    figure, panels = plt.subplots(
        1, len(activations), figsize=(style.TEXT_WIDTH, 1.9), layout="constrained", sharey=True, squeeze=False
    )
    for activation, axes in zip(activations, panels.flat, strict=True):
        tail = metrics.frame("gradient_singular_value", activation=activation, index=classes + 1)
        signal = metrics.frame("signal_singular_value", activation=activation, index=classes)
        constants = gradient_gap(tail, signal)
        tail_label, signal_label = r"$\sigma_{K+1}(G_1(t))$", r"$\sigma_K(W_2'YX')$"
        sns.lineplot(
            while_all_run(tail, metrics),
            x="step",
            y="value",
            color=style.COLORS[1],
            label=tail_label,
            **style.BAND,
            ax=axes,
        )
        mean, deviation = signal["value"].mean(), signal["value"].std()
        axes.axhline(mean, color=style.COLORS[0], dashes=style.DASHED, label=signal_label)
        axes.axhspan(mean - deviation, mean + deviation, color=style.COLORS[0], alpha=0.2, linewidth=0)
        axes.set(title=style.activation_labels([activation])[0], xlabel="step $t$", ylabel="", yscale="log")
        axes.text(0.96, 0.06, rf"$G_3 \geq {constants.min():.3f}$", transform=axes.transAxes, ha="right", fontsize=7)
    panels[0, 0].set_ylabel("singular value")
    style.legend_below(figure, figure.axes[0])
    return figure
