"""Draws a figure by name from files of metrics or verdicts."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics import metrics
from lowrank_dynamics.claims.files import read
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, sensitivity, style
from lowrank_dynamics.sensitivity import COLUMNS


def draw(name: str, sources: Sequence[Path], stem: Path) -> None:
    """Draw the figure called `name` from the files `sources` and write it to `stem` + .pdf, .svg and .png.

    They are the metrics of the figure's experiments or, for the figure `sensitivity`, the comparison of verdicts. Data
    that are not verified are named in the figure. Raises UserError if there is no such figure or a file holds something
    else.
    """
    style.apply()
    style.save(_drawn(name, sources), stem)
    plt.close("all")


def _drawn(name: str, sources: Sequence[Path]) -> Figure:
    if name == "sensitivity":
        return sensitivity.draw(read(sources[0], COLUMNS))
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    module = importlib.import_module(f"lowrank_dynamics.{FIGURES[name].modules[0].replace('/', '.')}")
    measured = [metrics.read(source) for source in sources]
    figure = module.draw(*measured, **FIGURES[name].options)
    if unverified := sorted({reason for each in measured for reason in each.unverified}):
        style.mark(figure, f"unverified data: {', '.join(unverified)}")
    return figure
