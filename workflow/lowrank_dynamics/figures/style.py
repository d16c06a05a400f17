"""The shared look of all figures: sizes, colors and line styles, and byte-identical saving."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
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

from lowrank_dynamics.analysis.verdicts import Verdict
from lowrank_dynamics.config import registries
from lowrank_dynamics.config.figures import FORMATS
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import figure_metadata

COLUMN, PAGE = 3.25, 6.75  # inches; the widths that a journal prints
FOOT = 0.14  # inches; the strip below a figure
NOTE = 7  # points; for text in a panel and below a figure
COLORS = sns.color_palette("colorblind")
GROUP_LABELS = dict(zip(registries.GROUPS, ("top $K$", "middle $d-2K$", "bottom $K$"), strict=True))
GROUP_COLORS = ("black", "0.6", "0.35")
"""The labels and colors of the groups of singular values; the colors are those of no activation."""
SOLID: tuple[float, ...] = (1, 0)
DASHED = (4, 1.5)
DOTTED = (1, 1)
DASH_DOTTED = (5, 1.2, 1, 1.2)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_NETWORKS = list(dict.fromkeys(entry.label for entry in registries.PARAMETERIZATIONS.values()))
_DARK = sns.color_palette("dark")[3:6]
NETWORK_COLORS = dict(zip(_NETWORKS, cycle([*COLORS, (0.0, 0.0, 0.0), *_DARK]), strict=False))
NETWORK_DASHES = dict(zip(_NETWORKS, cycle((SOLID, DASHED, DOTTED)), strict=False))
"""How a network is drawn in every figure, by the label of its parameterization."""
# the fourth activation, tanh, is in few figures: a pale color will do
_HUES = COLORS[:3] + COLORS[9:10] + COLORS[3:9]
VERDICTS = {
    Verdict.REPRODUCED: ("o", COLORS[0]),
    Verdict.PARTLY: ("D", COLORS[8]),
    Verdict.UNDECIDED: ("P", COLORS[9]),
    Verdict.NOT_REPRODUCED: ("X", COLORS[3]),
    Verdict.NOT_TESTABLE: ("_", COLORS[7]),
}
"""The marker and color of a verdict."""
LOOK = {
    "font.family": "serif",
    # the first is matplotlib's own
    "font.serif": ["STIXGeneral", "STIX Two Text", "Times New Roman"],
    "mathtext.fontset": "stix",
    **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize", "figure.titlesize"), 8),
    **dict.fromkeys(
        ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), 8
    ),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    **dict.fromkeys(("xtick.minor.width", "ytick.minor.width"), 0.4),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 1.5),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "lines.linewidth": 1.2,
    "figure.constrained_layout.use": True,
    "figure.dpi": 300,  # also for layout: at a lower dpi, letter widths round to whole pixels
    "svg.hashsalt": "lowrank-dynamics",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def apply() -> None:
    """Set the style that every figure is drawn in, whatever the user's `matplotlibrc` says."""
    mpl.rcdefaults()
    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc=LOOK)


def curves(
    data: pd.DataFrame,
    axes: Axes,
    by: str,
    order: Iterable[str] | None = None,
    x: str = "step",
    **options: Any,
) -> None:
    """Draw `value` against `x`, a line for each value of the column `by`, distinguished by color
    and dashes.

    `options` are seaborn's for a line plot.
    """
    names = None if order is None else list(order)
    look = {"hue": by, "hue_order": names, "style": by, "style_order": names} | options
    sns.lineplot(data, ax=axes, x=x, y="value", estimator=None, **look)


def lines(
    data: pd.DataFrame,
    axes: Axes,
    by: str,
    order: Iterable[str] | None = None,
    x: str = "step",
    limits: tuple[float, float] = (-math.inf, math.inf),
    **options: Any,
) -> None:
    """Draw `curves` of the mean over trials, with a band of one standard deviation, both on the
    scale of the axes; the band ends at the `limits` of the values.

    Seaborn would do the same group by group, which takes longer than the rest of a figure.
    """
    names = list(data[by].unique() if order is None else order)
    scale, before = axes.yaxis.get_transform(), len(axes.lines)
    unscaled = scale.inverted().transform
    scaled = data.assign(value=scale.transform(data["value"]))
    spread = scaled.groupby([by, x])["value"].agg(["mean", "std"])
    columns = {
        "value": unscaled(spread["mean"]),
        "low": unscaled(spread["mean"] - spread["std"]).clip(*limits),
        "high": unscaled(spread["mean"] + spread["std"]).clip(*limits),
    }
    drawn = pd.DataFrame(columns, spread.index).reset_index()
    curves(drawn, axes, by, names, x, **options)
    present = [name for name in names if name in set(drawn[by])]
    added = axes.lines[before:]  # those of the legend come after them
    for name, line in zip(present, added, strict=False):
        band = drawn[drawn[by] == name]
        color = line.get_color()
        axes.fill_between(band[x], band["low"], band["high"], color=color, alpha=0.2, linewidth=0)


def variant_lines(
    data: pd.DataFrame, axes: Axes, labels: Mapping[str, str], **options: Any
) -> None:
    """Draw `lines`, one for each variant under its label, in the order of `labels`."""
    named = data.assign(variant=data["variant"].map(labels))
    colors = dict(zip(labels.values(), COLORS, strict=False))
    look = {"palette": colors} | options
    lines(named, axes, "variant", labels.values(), **look)


def activation_lines(data: pd.DataFrame, axes: Axes, **options: Any) -> None:
    """Draw `lines`, one for each activation under its label: smooth ones solid, nonsmooth ones
    broken.
    """
    names = registries.in_order(data["activation"].unique())
    colors = activation_colors(names)
    dashes = [activation_dashes(name) for name in names]
    labels = {name: registries.activation(name).label for name in names}
    labeled = data.assign(activation=data["activation"].map(labels))
    palette = [colors[name] for name in names]
    look: dict[str, Any] = {"palette": palette, "dashes": dashes} | options
    lines(labeled, axes, "activation", labels.values(), **look)


def activation_colors(names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return the color of each activation: the same in every figure, unless it has a parameter."""
    fixed = [name for name, entry in registries.ACTIVATIONS.items() if not entry.parameter]
    others = [name for name in names if name not in fixed]
    return dict(zip(fixed + others, cycle(_HUES), strict=False))


def activation_dashes(name: str) -> tuple[float, ...]:
    """Return the dashes of an activation's line: solid if it is smooth; nonsmooth ones differ, so
    that equal curves show each other.
    """
    if registries.activation(name).smooth:
        return SOLID
    nonsmooth = [other for other, entry in registries.ACTIVATIONS.items() if not entry.smooth]
    patterns = cycle((DASHED, DOTTED, DASH_DOTTED))
    return dict(zip(nonsmooth, patterns, strict=False)).get(name, DASHED)


def network_lines(data: pd.DataFrame, axes: Axes, **options: Any) -> None:
    """Draw `lines`, one for each parameterization under its label, in the same color and dashes in
    every figure.
    """
    present = set(data["parameterization"])
    labels = {}
    for name, network in registries.PARAMETERIZATIONS.items():
        if name in present:
            labels[name] = network.label
    labeled = data.assign(network=data["parameterization"].map(labels))
    look = {"palette": NETWORK_COLORS, "dashes": NETWORK_DASHES} | options
    lines(labeled, axes, "network", labels.values(), **look)


def activation_panels(
    activations: Sequence[str], height: float, rows: int = 1, **sharing: Any
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure of this height in inches and its panels, a column for each activation with
    its label on top.
    """
    size, columns = (PAGE, height), len(activations)
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, **sharing)
    for name, axes in zip(activations, panels[0], strict=True):
        axes.set_title(registries.activation(name).label)
    return figure, panels


def legend_below(figure: Figure | SubFigure, columns: int | None = None) -> None:
    """Put the legend of a figure's first panel below all panels, and remove the legends inside
    them.

    It has one row, or `columns` columns.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for panel in figure.axes:
        legend = panel.get_legend()
        if legend is not None:
            legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns or len(labels))


def mark(figure: Figure, note: str) -> None:
    """Write a short note across the top of a figure, where nobody can miss it."""
    figure.suptitle(note, color="firebrick")


def save(figure: Figure, stem: Path, origin: Mapping[str, Any], note: str = "") -> None:
    """Write the figure as `stem` + .pdf, .svg and .png with its provenance, and a note in a strip
    below it.

    The files hold no dates, so that equal figures have equal bytes.
    """
    metadata = figure_metadata(origin)
    with settled(figure, note) as page:
        for extension in FORMATS:
            said = metadata[extension]
            with replacing(stem.with_suffix(f".{extension}")) as partial:
                figure.savefig(partial, format=extension, metadata=said, bbox_inches=page)


@contextmanager
def settled(figure: Figure, note: str = "") -> Iterator[Bbox]:
    """Fix the layout of a figure, write a note in a strip below it, and yield the area to save."""
    figure.draw_without_rendering()
    # the layout is computed once, without the strip
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
        parts: list[Figure | SubFigure] = [figure, *figure.subfigs]
        for part in parts:
            for legend in part.legends:
                legend.set_bbox_to_anchor((0, 0, 1, 1), part.transSubfigure)
        width, height = figure.get_size_inches()
        place = (0.995, -FOOT / height)
        figure.text(*place, note, fontsize=NOTE, color="0.4", ha="right", va="bottom")
        yield Bbox.from_extents(0, -FOOT, width, height)
