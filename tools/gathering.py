"""What is available of an experiment: aggregated metrics, other finished jobs, and trials kept in a
reference.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from lowrank_dynamics.config.cell import shard_of
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.aggregation import combine
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import CellOrigin
from tools.thinning import has_lost_steps


class Gathered(NamedTuple):
    """The available metrics of an experiment, and the run's own `file` if it holds exactly
    those.
    """

    metrics: Metrics
    file: Path | None


def gathered(run: Run, reference: Path | None, name: str) -> Gathered | None:
    """Return what a run has of an experiment; None if it has nothing.

    Missing cells and trials come from the file `reference`, where it has the same settings. A
    cell's trials count up to the first missing one. Raises UserError if trials of the reference
    cannot be combined with the run's, or if the reference has lost steps of them.
    """
    file = run.metrics(name)
    aggregated, kept = _cells(file, name, run.name), _cells(reference, name, run.name)
    parts: list[Metrics] = []
    of_reference: list[Metrics] = []
    is_aggregated, is_run = True, False
    for cell in run.settings.cells(name):
        shards = [aggregated[cell.name]] if cell.name in aggregated else []
        shards += _beyond(shards, run.cell_folder(name, cell.name), name)
        added: list[Metrics] = []
        if cell.name in kept:
            digest = run.settings.of_variant(name, cell.variant).digest
            added = _added(shards, kept[cell.name], digest)
        of_reference += added
        if shards:
            is_run = True
        expected = 1 if cell.name in aggregated else 0
        if len(shards + added) != expected:
            is_aggregated = False
        parts += _uninterrupted(shards + added)
    if not (is_run and parts):
        return None
    _require_whole(of_reference, name)
    if is_aggregated:
        return Gathered(metrics.read(file, name, run.name), file)
    return Gathered(combine(parts), None)


def _cells(file: Path | None, experiment: str, scale: str) -> dict[str, Metrics]:
    """Return the metrics of each cell in a file; none if there is no such file."""
    if file is None or not file.exists():
        return {}
    return _read(file, experiment, scale).by_cell


def _read(file: Path, experiment: str, scale: str | None = None) -> Metrics:
    """Return the metrics in a file, with the current digest of their settings.

    The file has the digest of the code that computed them. Settings added since then have their
    defaults.
    """
    run = metrics.read(file, experiment, scale)
    cells = {name: _with_current_digest(origin) for name, origin in run.cells.items()}
    return Metrics(run.table, cells)


def _with_current_digest(origin: CellOrigin) -> CellOrigin:
    if origin.settings is None:
        return origin
    return origin.model_copy(update={"settings_sha256": origin.settings.digest})


def _beyond(run: Sequence[Metrics], folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield a cell's finished jobs, in its `folder`, with trials that are not aggregated."""
    present = _trials(run)
    for path in sorted(folder.glob("*.parquet"), key=_first_trial):
        further = set(shard_of(path.stem)) - present
        if further:
            yield _read(path, experiment).where(trial=sorted(further))
            present |= further


def _first_trial(path: Path) -> int:
    return shard_of(path.stem).start


def _added(run: Sequence[Metrics], kept: Metrics, digest: str) -> list[Metrics]:
    """Return a cell's trials that only the reference has; none with other settings if none was run.

    Raises UserError if the run's trials have other settings or other code, or if each trial stops
    at its own step.
    """
    ((cell, origin),) = kept.cells.items()
    further = _trials([kept]) - _trials(run)
    if not further:
        return []
    if not run and origin.settings_sha256 != digest:
        return []
    for job in run:
        other = job.cells[cell]
        if (other.settings_sha256, other.code) != (origin.settings_sha256, origin.code):
            raise UserError(
                f"the reference has more trials of {cell} than the run, by {origin.code}; the run"
                f" is by {other.code} or has other settings; run as many, or add to them at that"
                " commit"
            )
    if run and origin.settings and origin.settings.training.stop_near_linear_fit is not None:
        raise UserError(
            f"each trial of {cell} stops at its own step, so none can be added; run all of them"
        )
    return [kept.where(trial=sorted(further))]


def _require_whole(parts: Iterable[Metrics], experiment: str) -> None:
    """Raise UserError if any of these cells of the reference, to be added to a run, has lost
    steps: judged together, the claims on it would be about other steps than the run's.
    """
    for part in parts:
        if has_lost_steps(part):
            ((cell, origin),) = part.cells.items()
            raise UserError(
                f"the reference keeps only {origin.thinned_to} steps of {cell}; run all trials of"
                f" {experiment}"
            )


def _uninterrupted(parts: Sequence[Metrics]) -> Iterator[Metrics]:
    """Yield the trials of a cell before the first missing one."""
    present = _trials(parts)
    missing = next(trial for trial in count() if trial not in present)
    for part in parts:
        trials = _trials([part]) & set(range(missing))
        if trials:
            yield part.where(trial=sorted(trials))


def _trials(parts: Sequence[Metrics]) -> set[int]:
    trials: set[int] = set()
    for part in parts:
        trials |= part.values("trial")
    return trials
