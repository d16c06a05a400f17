"""Figure 12: the norm of the first layer's gradient and its top-K singular values along training."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import decay_rate, until_the_end, while_all_run
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw them on a logarithmic axis, a panel an activation, with the rates of fitted exponential decay.

    Geometric mean over trials until the first of them ends, band of one geometric standard deviation; the rates are
    fitted to each trial until its own end.
    """
    activations, classes = metrics.activations, metrics.settings.data.classes
    figure, panels = plt.subplots(
        1, len(activations), figsize=(style.TEXT_WIDTH, 2.4), layout="constrained", sharey=True, squeeze=False
    )
    for activation, axes in zip(activations, panels.flat, strict=True):
        norm = metrics.frame("gradient_norm", activation=activation)
        values = metrics.frame("gradient_singular_value", activation=activation, index=list(range(1, classes + 1)))
        norm["curve"] = r"$\|G_1\|_F$"
        values["curve"] = r"$\sigma_" + values["index"].astype(str) + r"(G_1)$"
        _draw_panel(pd.concat([norm, values]), metrics, axes)
        axes.set_title(style.activation_labels([activation])[0])
    style.legend_below(figure, figure.axes[0])
    return figure


def _draw_panel(curves: pd.DataFrame, metrics: Metrics, axes: Axes) -> None:
    """Draw the curves of one activation, with the range of their fitted rates in per cent a step."""
    axes.set_yscale("log")
    names = sorted(curves["curve"].unique(), key=lambda name: ("sigma" in name, name))
    palette = ["black", *style.COLORS[: len(names) - 1]]
    style.lines(while_all_run(curves, metrics), axes, "curve", names, palette=palette)
    axes.set(xlabel="step $t$", ylabel="")
    fitted = until_the_end(curves, metrics).groupby("curve")[["trial", "step", "value"]]
    rates = 100 * fitted.apply(lambda curve: decay_rate(curve).mean())
    norm, rest = rates[names[0]], rates.drop(names[0])
    text = f"rate, %/step\n{names[0]}: {norm:.2f}\n$\\sigma_i$: {rest.min():.2f} to {rest.max():.2f}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=6)
