"""Figure 13: the tail of the first layer's gradient against the K-th singular value of the
signal.
"""

import math

from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import CELL, until_first_end
from lowrank_dynamics.analysis.measures import gradient_gap
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

TAIL, SIGNAL = r"$\sigma_{K+1}(G_1(t))$", r"$\sigma_K(W_2'YX')$"


def draw(metrics: Metrics) -> Figure:
    """Draw sigma_{K+1}(G_1(t)) and sigma_K(W_2' Y X') per activation, with the smallest G_3 of
    assumption 3.4.

    Arithmetic mean over trials until the first of them ends, band of one standard deviation.
    """
    classes = metrics.settings.data.classes
    gaps = gradient_gap(metrics).groupby("activation")["value"].min()
    figure, panels = style.activation_panels(metrics.activations, 1.9, sharey=True)
    for activation, axes in zip(metrics.activations, panels.flat, strict=True):
        tail = metrics.frame("gradient_singular_value", activation=activation, index=classes + 1)
        tail = until_first_end(tail, metrics, CELL).assign(curve=TAIL)
        style.lines(tail, axes, "curve", palette=style.COLORS[1:2])
        signal = metrics.frame("signal_singular_value", activation=activation, index=classes)
        mean, deviation = signal["value"].mean(), signal["value"].std()
        low, high = mean - deviation, mean + deviation
        axes.axhline(mean, color=style.COLORS[0], dashes=style.DASHED, label=SIGNAL)
        axes.axhspan(low, high, color=style.COLORS[0], alpha=0.2, linewidth=0)
        axes.set(xlabel="step $t$", ylabel="")
        rounded_down = math.floor(1000 * gaps[activation]) / 1000
        text = rf"$G_3 \geq {rounded_down:.3f}$"
        axes.text(0.96, 0.06, text, transform=axes.transAxes, ha="right", fontsize=style.NOTE)
    # All panels have one scale; were it set before `lines`, that would draw geometric means.
    panels[0, 0].set(ylabel="singular value", yscale="log")
    style.legend_below(figure)
    return figure
