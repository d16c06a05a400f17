"""The one look of all figures: sizes, colors and line styles, and saving the same bytes every time."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from lowrank_dynamics.config import registries
from lowrank_dynamics.config.registries import FORMATS
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import figure_metadata

mpl.use("Agg")

TEXT_WIDTH = 5.5  # inches
FOOT = 0.14  # inches; the strip below a figure
COLORS = sns.color_palette("colorblind")
GROUPS = {"top": "top $K$", "middle": "middle $d-2K$", "bottom": "bottom $K$"}
PARAMETERIZATIONS = {"full": "full", "s_big": r"low-rank, $S_{\mathrm{big}}$", "random": "low-rank, random"}
SOLID: tuple[float, ...] = (1, 0)
DASHED = (4, 1.5)
DOTTED = (1, 1)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
LOOK = {
    **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), 7),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "lines.linewidth": 1.2,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "svg.hashsalt": "lowrank-dynamics",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def apply() -> None:
    """Set the style that every figure is drawn in."""
    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc=LOOK)


def lines(data: pd.DataFrame, axes: Axes, by: str, order: Iterable[str] | None = None, **options: Any) -> None:
    """Draw `value` against `step`, a line for each value of the column `by`: mean over trials, band of one deviation.

    Lines differ in color and in dashes. `options` are seaborn's for a line plot.
    """
    names = None if order is None else list(order)
    told_apart = {"hue": by, "hue_order": names, "style": by, "style_order": names}
    band = {"errorbar": "sd", "err_kws": {"alpha": 0.2, "linewidth": 0}}
    sns.lineplot(data, ax=axes, **({"x": "step", "y": "value"} | told_apart | band | options))


def activation_lines(data: pd.DataFrame, axes: Axes, **options: Any) -> None:
    """Draw `lines`, one for each activation under its label: smooth ones solid, nonsmooth ones dashed."""
    shown = [registries.activation(name) for name in registries.in_order(data["activation"].unique())]
    dashes = [SOLID if activation.smooth else DASHED for activation in shown]
    labeled = data.assign(activation=[registries.activation(name).label for name in data["activation"]])
    lines(labeled, axes, "activation", [activation.label for activation in shown], dashes=dashes, **options)


def activation_panels(
    activations: Sequence[str], height: float, rows: int = 1, **sharing: Any
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure of this height in inches and its panels, a column for each activation with its label on top."""
    figure, panels = plt.subplots(rows, len(activations), figsize=(TEXT_WIDTH, height), squeeze=False, **sharing)
    for name, axes in zip(activations, panels[0], strict=True):
        axes.set_title(registries.activation(name).label)
    return figure, panels


def legend_below(figure: Figure | SubFigure) -> None:
    """Put the legend of a figure's first panel below all of them, in one row, and take away those inside the panels."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for panel in figure.axes:
        if (legend := panel.get_legend()) is not None:
            legend.remove()
    whole = {"bbox_to_anchor": (0, 0, 1, 1), "bbox_transform": figure.transSubfigure}  # not the strip below it
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **whole)


def mark(figure: Figure, note: str) -> None:
    """Write a short note across the top of a figure, where nobody can miss it."""
    figure.suptitle(note, fontsize=8, color="firebrick")


def save(figure: Figure, stem: Path, origin: Mapping[str, Any], note: str = "") -> None:
    """Write the figure as `stem` + .pdf, .svg and .png with its provenance, and a note in a strip below it.

    There are no dates in it, so that equal figures are equal bytes.
    """
    metadata = figure_metadata(origin)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is found once for all formats
    width, height = figure.get_size_inches()
    figure.text(0.995, -FOOT / height, note, fontsize=6, color="0.4", ha="right", va="bottom")
    page = Bbox.from_extents(0, -FOOT, width, height)
    for extension in FORMATS:
        with replacing(stem.with_suffix(f".{extension}")) as partial:
            figure.savefig(partial, format=extension, metadata=metadata[extension], bbox_inches=page)
