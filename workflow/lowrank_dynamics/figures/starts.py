"""Figure starts: low-rank networks from several starts, by epochs and by operations, at three ranks."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import with_operations
from lowrank_dynamics.config.registries import PARAMETERIZATIONS
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS, per_image
from lowrank_dynamics.storage.metrics import Metrics

RANKS = ("2k", "4k", "8k")
COLORS = [*style.COLORS, (0.0, 0.0, 0.0)]
DASHES = (style.SOLID, style.DASHED, style.DOTTED)


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: a column for each rank.

    Rows are accuracy and loss against epochs, and accuracy against the operations of all matrix products so far, those
    of the one full gradient included that some starts need.
    """
    variants = {name: each for name, each in metrics.variants.items() if name in RANKS}
    figure, panels = plt.subplots(3, len(variants), figsize=(style.TEXT_WIDTH, 5.6), sharey="row", squeeze=False)
    for (variant, each), (accuracy, loss, spent) in zip(variants.items(), panels.T, strict=True):
        for quantity, axes in (("test_accuracy", accuracy), ("test_loss", loss)):
            draw_starts(per_image(each, quantity), axes, xlabel="epoch", ylabel=PANELS[quantity])
        spent.set_xscale("log")
        rows = with_operations(each, per_image(each, "test_accuracy"))
        labels = {"xlabel": "operations", "ylabel": PANELS["test_accuracy"]}
        draw_starts(rows[rows["operations"] > 0], spent, x="operations", **labels)
        accuracy.set_title(f"$r = {variant[0]}K$")
    legend_of_starts(figure)
    return figure


def draw_starts(curves: pd.DataFrame, axes: Axes, x: str = "step", **labels: Any) -> None:
    """Draw a curve for each parameterization, in the same color and dashes in every panel."""
    present = set(curves["parameterization"])
    names = [name for name in PARAMETERIZATIONS if name in present]
    curves = curves.assign(start=curves["parameterization"].astype(str).map(lambda name: PARAMETERIZATIONS[name].label))
    looks: Sequence[int] = [list(PARAMETERIZATIONS).index(name) for name in names]
    style.lines(
        curves,
        axes,
        "start",
        [PARAMETERIZATIONS[name].label for name in names],
        x=x,
        palette=[COLORS[look] for look in looks],
        dashes=[DASHES[look % len(DASHES)] for look in looks],
        linewidth=1.0,
    )
    axes.set(**labels)


def legend_of_starts(figure: Figure) -> None:
    """Put one legend of three columns below all panels, and take away those inside them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for panel in figure.axes:
        if (legend := panel.get_legend()) is not None:
            legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
