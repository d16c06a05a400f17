"""What is available of an experiment: aggregated metrics, other finished jobs, and trials kept in a
reference.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from lowrank_dynamics.config.settings import Settings, shard_of
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.aggregation import combine
from lowrank_dynamics.storage.metrics import Metrics


class Gathered(NamedTuple):
    """The available metrics of an experiment, and the run's own `file` if it holds exactly
    those.
    """

    metrics: Metrics
    file: Path | None


def gathered(
    results: Path, scale: str, reference: Path | None, settings: Settings, name: str
) -> Gathered | None:
    """Return what the run at `scale`, in the folder `results`, has of an experiment; None if it has
    nothing.

    Missing cells and trials come from the file `reference`, where it has the same settings. A
    cell's trials count up to the first missing one. Raises UserError if trials of the reference
    cannot be combined with the run's.
    """
    file, jobs = results / "metrics" / f"{name}.parquet", results / "cells" / name
    run = _read(file, name, scale).by_cell if file.exists() else {}
    kept = _read(reference, name, scale).by_cell if reference and reference.exists() else {}
    parts: list[Metrics] = []
    is_aggregated, is_run = True, False
    for cell in settings.cells(name):
        own = [run[cell.name]] if cell.name in run else []
        own += _beyond(own, jobs / cell.name, name)
        digest = settings.of_variant(name, cell.variant).digest
        added = _added(own, kept[cell.name], digest) if cell.name in kept else []
        is_run = is_run or bool(own)
        is_aggregated = is_aggregated and len(own + added) == (cell.name in run)
        parts += _uninterrupted(own + added)
    if not (is_run and parts):
        return None
    return (
        Gathered(metrics.read(file, name, scale), file)
        if is_aggregated
        else Gathered(combine(parts), None)
    )


def _read(file: Path, experiment: str, scale: str | None = None) -> Metrics:
    """Return the metrics in a file, with the current digest of their settings.

    The file has the digest of the code that computed them. Settings added since then have their
    defaults.
    """
    found = metrics.read(file, experiment, scale)
    now = {name: each.settings.digest for name, each in found.cells.items() if each.settings}
    cells = {
        name: each.model_copy(update={"settings_sha256": now[name]}) if name in now else each
        for name, each in found.cells.items()
    }
    return Metrics(found.table, cells)


def _beyond(found: Sequence[Metrics], folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield a cell's finished jobs, in its `folder`, with trials that are not aggregated."""
    there = _trials(found)
    for path in sorted(folder.glob("*.parquet"), key=lambda path: shard_of(path.stem).start):
        if further := set(shard_of(path.stem)) - there:
            yield _read(path, experiment).where(trial=sorted(further))
            there |= further


def _added(run: Sequence[Metrics], kept: Metrics, digest: str) -> list[Metrics]:
    """Return a cell's trials that only the reference has; none with other settings if none was run.

    Raises UserError if the run's trials have other settings or other code, or if each trial stops
    at its own step.
    """
    ((cell, origin),) = kept.cells.items()
    further = _trials([kept]) - _trials(run)
    if not further or (not run and origin.settings_sha256 != digest):
        return []
    for other in (each.cells[cell] for each in run):
        if (other.settings_sha256, other.code) != (origin.settings_sha256, origin.code):
            raise UserError(
                f"the reference has more trials of {cell} than the run, by {origin.code}; the run"
                f" is by {other.code} or has other settings; run as many, or add to them at that"
                " commit"
            )
    if run and origin.settings and origin.settings.training.stop_near_linear_fit is not None:
        raise UserError(
            f"each trial of {cell} stops at a step of its own, so none can be added; run all of"
            " them"
        )
    return [kept.where(trial=sorted(further))]


def _uninterrupted(found: Sequence[Metrics]) -> Iterator[Metrics]:
    """Yield the trials of a cell before the first missing one."""
    there = _trials(found)
    first = set(range(next(trial for trial in count() if trial not in there)))
    for each in found:
        if own := _trials([each]) & first:
            yield each.where(trial=sorted(own))


def _trials(found: Sequence[Metrics]) -> set[int]:
    return {trial for each in found for trial in each.values("trial")}
