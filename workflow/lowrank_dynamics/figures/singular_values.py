"""Figure 1: all singular values of the first layer over training, one panel per activation."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.config import registries
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

SHOWN = ("elu", "gelu", "silu")


def draw(metrics: Metrics) -> Figure:
    """Draw sigma_i(W_1(t)), i = 1 .. d, averaged over trials and colored by group.

    Raises UserError if none of the activations it shows was run.
    """
    shown = [name for name in SHOWN if name in metrics.activations]
    if not shown:
        present = ", ".join(metrics.activations)
        raise UserError(f"figure 1 shows {', '.join(SHOWN)}, and the metrics have {present}")
    figure, panels = style.activation_panels(shown, 1.8, sharey=True)
    draw_singular_values(metrics, 1, shown, panels.flat)
    panels[0, 0].set_ylabel(r"$\sigma_i(W_1(t))$")
    style.legend_below(figure)
    return figure


def draw_singular_values(
    metrics: Metrics, layer: int, activations: Iterable[str], panels: Iterable[Axes]
) -> pd.DataFrame:
    """Draw and return each singular value of one layer, averaged over trials: a panel for each
    activation.
    """
    values = metrics.frame("singular_value", layer=layer)
    by_value = values.groupby(["activation", "step", "index"])
    means = by_value["value"].mean().reset_index()
    classes, count = metrics.settings.data.classes, means["index"].max()
    ends = [0, classes, count - classes, count]
    means["group"] = pd.cut(means["index"], ends, labels=list(style.GROUP_LABELS.values()))
    look: dict[str, Any] = {
        "palette": list(style.GROUP_COLORS),
        "dashes": [style.SOLID, style.SOLID, style.DOTTED],
        "linewidth": 0.7,
    }
    for name, axes in zip(activations, panels, strict=False):
        style.curves(means[means["activation"] == name], axes, "group", units="index", **look)
        axes.set(title=registries.activation(name).label, xlabel="step $t$", ylabel="")
    return means
