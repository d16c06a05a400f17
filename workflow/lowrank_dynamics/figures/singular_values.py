"""Figure 1: every singular value of the first layer over training, one panel an activation."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

SHOWN = ("elu", "gelu", "silu")


def draw(metrics: Metrics) -> Figure:
    """Draw sigma_i(W_1(t)), i = 1 .. d, averaged over trials and colored by group."""
    figure, panels = plt.subplots(1, len(SHOWN), figsize=(style.TEXT_WIDTH, 1.8), layout="constrained", sharey=True)
    values = mean_singular_values(metrics, layer=1)
    for name, axes in zip(SHOWN, panels, strict=True):
        draw_singular_values(values, name, axes)
    panels[0].set_ylabel(r"$\sigma_i(W_1(t))$")
    style.legend_below(figure, panels[0])
    return figure


def mean_singular_values(metrics: Metrics, layer: int) -> pd.DataFrame:
    """Return the singular values of one layer averaged over trials: activation, step, index, value, group."""
    values = metrics.frame("singular_value", layer=layer)
    means = values.groupby(["activation", "step", "index"], observed=True)["value"].mean().reset_index()
    classes, count = metrics.settings.data.classes, means["index"].max()
    means["group"] = pd.cut(means["index"], [0, classes, count - classes, count], labels=list(style.GROUPS.values()))
    return means


def draw_singular_values(values: pd.DataFrame, activation: str, axes: Axes) -> None:
    """Draw one line for each singular value of one activation's network; `values` from `mean_singular_values`."""
    sns.lineplot(
        values[values["activation"] == activation],
        x="step",
        y="value",
        hue="group",
        palette=style.COLORS[:3],
        style="group",
        dashes=[style.SOLID, style.SOLID, style.DOTTED],
        units="index",
        estimator=None,
        linewidth=0.7,
        ax=axes,
    )
    axes.set(title=style.activation_labels([activation])[0], xlabel="step $t$", ylabel="")
