"""Draws a figure by name from files of metrics or verdicts."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics import metrics
from lowrank_dynamics.claims.files import read, read_unverified
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, sensitivity, style
from lowrank_dynamics.provenance import of_figure
from lowrank_dynamics.provenance_files import read_provenance
from lowrank_dynamics.sensitivity import COLUMNS


def draw(name: str, sources: Sequence[Path], stem: Path) -> None:
    """Draw the figure called `name` from the files `sources` and write it to `stem` + .pdf, .svg and .png.

    They are the metrics of the figure's experiments or, for the figure `sensitivity`, the comparison of verdicts. Data
    that are not verified are named in the figure. Raises UserError if there is no such figure or a file holds something
    else.
    """
    style.apply()
    figure, unverified, origins = _drawn(name, sources)
    if unverified:
        style.mark(figure, f"UNVERIFIED DATA: {', '.join(sorted(unverified))}")
    style.save(figure, stem, of_figure(name, origins))
    plt.close("all")


def _drawn(name: str, sources: Sequence[Path]) -> tuple[Figure, set[str], list[Mapping[str, Any]]]:
    """Return the figure, which of the data in it are not verified, and the provenance of each of the sources."""
    if name == "sensitivity":
        (table,) = sources
        return sensitivity.draw(read(table, COLUMNS)), set(read_unverified(table)), [read_provenance(table)]
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    module = importlib.import_module(f"lowrank_dynamics.{FIGURES[name].modules[0].replace('/', '.')}")
    measured = [metrics.read(source) for source in sources]
    figure = module.draw(*measured, **FIGURES[name].options)
    return figure, {data for each in measured for data in each.unverified}, [each.provenance for each in measured]
