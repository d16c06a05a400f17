"""Draw a figure by name, from the files of its metrics or of its table."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt

from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import figure_origin
from lowrank_dynamics.storage.tables import Table


def draw(name: str, files: Sequence[Path], stem: Path, scale: str | None = None) -> None:
    """Draw the figure called `name` and write it to `stem` + .pdf, .svg and .png.

    `files` are the metrics of the figure's experiments, in order, or the table of a figure that
    shows none; of this scale if given. The figure names unverified data, and below it the number of
    trials. Raises UserError if there is no such figure, a file holds something else, or there are
    more or fewer files.
    """
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    style.apply()
    source = FIGURES[name]
    wanted = [source.table] if source.table else list(source.experiments)
    if len(files) != len(wanted):
        raise UserError(
            f"{name} is drawn from {' and '.join(wanted)}, one file each; {len(files)} are named"
        )
    module = import_module(f"lowrank_dynamics.figures.{source.module}")
    shown: Sequence[Metrics] | Sequence[Table]
    if source.table:
        shown, note = [tables.read(file, module.COLUMNS) for file in files], ""
    else:
        files_of = dict(zip(source.experiments, files, strict=True))
        runs = {each: metrics.read(file, each, scale) for each, file in files_of.items()}
        shown, note = list(runs.values()), extent_in_words(runs)
    figure = module.draw(*shown, **source.options)
    if unverified := {data for each in shown for data in each.unverified}:
        style.mark(figure, f"UNVERIFIED DATA: {', '.join(sorted(unverified))}")
    style.save(figure, stem, figure_origin(name, [read_provenance(file) for file in files]), note)
    plt.close("all")


def extent_in_words(runs: Mapping[str, Metrics]) -> str:
    """Describe the number of trials, by experiment where counts differ, and of steps if metrics are
    thinned.
    """
    counts = {name: run.trials for name, run in runs.items()}
    alike = len(set(counts.values())) == 1
    trials = (
        next(iter(counts.values()))
        if alike
        else ", ".join(f"{name}: {count}" for name, count in counts.items())
    )
    kept = {
        cell.thinned_to for run in runs.values() for cell in run.cells.values() if cell.thinned_to
    }
    return trials + (f"; at most {max(kept)} steps of each curve" if kept else "")
