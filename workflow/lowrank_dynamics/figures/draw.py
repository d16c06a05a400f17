"""Draw a figure by name, from the files of its metrics or of its table."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.config.figures import ANIMATED, FIGURES, in_words
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import animation, style
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import figure_origin
from lowrank_dynamics.storage.tables import Table


def draw(name: str, files: Sequence[Path], stem: Path, scale: str | None = None) -> None:
    """Draw the figure called `name` and write it to `stem` + .pdf, .svg and .png.

    `files` are the metrics of the figure's experiments, in order, with or without the optional
    ones, or the table of a figure that shows none; of this scale if given. The figure names
    unverified data, and below it the number of trials. Raises UserError if there is no such figure,
    a file holds something else, or there are more or fewer files.
    """
    drawing = _drawing(name, files, scale)
    figure = drawing.module.draw(*drawing.shown, **FIGURES[name].options)
    _name_unverified(figure, drawing.shown)
    style.save(figure, stem, figure_origin(name, map(read_provenance, files)), drawing.note)
    plt.close("all")


def animate(name: str, files: Sequence[Path], path: Path, scale: str | None = None) -> None:
    """Draw the animation of the figure called `name` and write it to `path`, a GIF.

    Raises UserError if the figure is not animated, and what `draw` does.
    """
    if name not in ANIMATED:
        raise UserError(f"there is no animation {name!r}; choose one of {', '.join(ANIMATED)}")
    drawing = _drawing(name, files, scale)
    frames = drawing.module.frames(*drawing.shown, **FIGURES[name].options)
    first = next(frames)
    _name_unverified(first, drawing.shown)
    origin = figure_origin(name, map(read_provenance, files))
    animation.save(chain([first], frames), path, origin, drawing.note)
    plt.close("all")


class _Drawing(NamedTuple):
    """The module that draws a figure, what it shows, and the note below it."""

    module: ModuleType
    shown: Sequence[Metrics | Table]
    note: str


def _drawing(name: str, files: Sequence[Path], scale: str | None) -> _Drawing:
    """Return how the figure called `name` is drawn from files; raises what `draw` does."""
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    style.apply()
    source = FIGURES[name]
    wanted = source.required if len(files) == len(source.required) else source.experiments
    if source.table:
        wanted = (f"{source.table}.parquet",)
    if len(files) != len(wanted):
        raise UserError(
            f"{name} is drawn from {' and '.join(wanted)}, one file each; {len(files)} are named"
        )
    module = import_module(f"lowrank_dynamics.figures.{source.module}")
    if source.table:
        (file,) = files
        return _Drawing(module, [tables.read(file, module.COLUMNS, scale)], "")
    runs = {}
    for experiment, file in zip(wanted, files, strict=True):
        runs[experiment] = metrics.read(file, experiment, scale)
    return _Drawing(module, list(runs.values()), extent_in_words(runs))


def _name_unverified(figure: Figure, shown: Iterable[Metrics | Table]) -> None:
    """Write the names of unverified data into a figure, if it shows some."""
    unverified: set[str] = set()
    for part in shown:
        unverified.update(part.unverified)
    if unverified:
        style.mark(figure, f"UNVERIFIED DATA: {', '.join(sorted(unverified))}")


def extent_in_words(runs: Mapping[str, Metrics]) -> str:
    """Describe the number of trials, by experiment where counts differ, and of steps if metrics are
    thinned.
    """
    counts = {name: run.trials_in_words for name, run in runs.items()}
    words = ", ".join(f"{in_words(name)}: {count}" for name, count in counts.items())
    if len(set(counts.values())) == 1:
        (words,) = set(counts.values())
    steps = 0
    for run in runs.values():
        for cell in run.cells.values():
            steps = max(steps, cell.thinned_to or 0)
    if steps:
        words += f"; at most {steps} steps of each curve"
    return words
