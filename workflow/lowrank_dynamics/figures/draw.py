"""Draws a figure by name from files of metrics or verdicts."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics import metrics
from lowrank_dynamics.claims.files import read, read_unverified
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
    figure, unverified = _drawn(name, sources)
    if unverified:
        style.mark(figure, f"UNVERIFIED DATA: {', '.join(sorted(unverified))}")
    style.save(figure, stem)
    plt.close("all")


def _drawn(name: str, sources: Sequence[Path]) -> tuple[Figure, set[str]]:
    """Return the figure, and which of the data in it are not verified."""
    if name == "sensitivity":
        return sensitivity.draw(read(sources[0], COLUMNS)), set(read_unverified(sources[0]))
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    module = importlib.import_module(f"lowrank_dynamics.{FIGURES[name].modules[0].replace('/', '.')}")
    measured = [metrics.read(source) for source in sources]
    return module.draw(*measured, **FIGURES[name].options), {data for each in measured for data in each.unverified}
