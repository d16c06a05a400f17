"""The metrics of an experiment from its jobs: trials joined into cells, and cells into one
table.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import SCHEMA, Metrics, read
from lowrank_dynamics.storage.provenance import CellOrigin, most_memory

ORDER = ("quantity", "layer", "index", "trial", "step")
"""The columns by which the rows of a cell are sorted."""
JOINT = "; "
"""What stands between the texts of several jobs."""


def aggregate(
    paths: Iterable[Path],
    experiment: str | None = None,
    scale: str | None = None,
    trials: int | None = None,
) -> Metrics:
    """Combine the metrics of an experiment's jobs, each in a file CELL/TRIALS.parquet.

    The cells keep the order of `paths`, and have the same rows however their trials were split into
    jobs. Every trial gets a row at every step of its cell: one that stopped near the linear fit
    keeps its last values, as its weights do. One that diverged keeps those of its last measurement,
    when its loss was finite, though it went on from there: its `last_step` tells such a trial, so
    that a comparison of ends can leave it out. Raises UserError if a file is of another cell,
    experiment or scale, if trials are missing (each cell must have `trials`, if given), and if the
    jobs of one variant come from different settings.
    """
    shards = []
    for path in paths:
        shard = read(path, experiment, scale)
        name = path.parent.name
        if set(shard.cells) != {name}:
            cells = ", ".join(shard.cells)
            raise UserError(f"{path} is of the cell {cells}; delete it and run again")
        shards.append(shard)
    return combine(shards, trials)


def combine(parts: Iterable[Metrics], trials: int | None = None) -> Metrics:
    """Combine metrics of one experiment, each of some cells and trials; raises what `aggregate`
    does.
    """
    by_cell: dict[str, list[Metrics]] = {}
    for part in parts:
        for name, metrics in part.by_cell.items():
            by_cell.setdefault(name, []).append(metrics)
    _require_one_setting(by_cell)
    tables, cells = [], {}
    for name, shards in by_cell.items():
        count = _require_all_trials(name, shards, trials)
        table = _joined([shard.table for shard in shards])
        tables.append(_held_to_the_end(table))
        cells[name] = _common_origin([shard.cells[name] for shard in shards], count)
    return Metrics(pa.concat_tables(tables).unify_dictionaries(), cells)


def _require_one_setting(by_cell: Mapping[str, Sequence[Metrics]]) -> None:
    """Raise UserError, naming the cells, if those of one variant come from different settings."""
    digests: dict[str, str] = {}
    for name, shards in by_cell.items():
        for shard in shards:
            origin = shard.cells[name]
            digest = digests.setdefault(origin.variant, origin.settings_sha256)
            if digest != origin.settings_sha256:
                cells = ", ".join(by_cell)
                raise UserError(f"{cells} come from different settings; delete them and run again")


def _require_all_trials(name: str, shards: Sequence[Metrics], trials: int | None) -> int:
    """Return a cell's number of trials. Raises UserError, with their numbers, if some are missing
    or present twice.
    """
    there: list[int] = []
    for shard in shards:
        there += shard.values("trial")
    expected = set(range(trials or max(there) + 1))
    missing = sorted(expected.difference(there))
    if missing:
        numbers = ", ".join(map(str, missing))
        raise UserError(f"{name} lacks the trials {numbers}; run the jobs that train them")
    if len(there) > len(expected):
        raise UserError(
            f"{name} has trials beyond {len(expected)} or some of them twice; name each job once"
        )
    return len(there)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the table that one job would have written for all the trials."""
    if len(tables) == 1:
        return tables[0]
    rows = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    position = SCHEMA.get_field_index("quantity")
    sortable = rows.set_column(position, "quantity", rows["quantity"].cast(pa.string()))
    return rows.take(pc.sort_indices(sortable, sort_keys=[(name, "ascending") for name in ORDER]))


def _common_origin(parts: Sequence[CellOrigin], trials: int) -> CellOrigin:
    """Return the origin of a cell: its jobs' total time and most memory, and every code, library,
    Python, machine and source of data that one of them had.
    """
    first = parts[0]
    settings = first.settings and first.settings.model_copy(update={"trials": trials})
    if len(parts) == 1:
        return first.model_copy(update={"settings": settings})
    return first.model_copy(
        update={
            "settings": settings,
            "data": _distinct_by_key(part.data for part in parts),
            "code": _distinct(part.code for part in parts),
            "libraries": _distinct_by_key(part.libraries for part in parts),
            "python": _distinct(part.python for part in parts),
            "machine": _distinct(part.machine for part in parts),
            "started": min(part.started for part in parts),
            "seconds": round(sum(part.seconds for part in parts), 1),
            "megabytes": most_memory(parts),
        }
    )


def _distinct_by_key(mappings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return every key of some mappings with the distinct values that they have, in one text."""
    values: dict[str, list[str]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            values.setdefault(key, []).append(value)
    return {key: _distinct(of_key) for key, of_key in values.items()}


def _distinct(values: Iterable[str]) -> str:
    """Return each of some texts once, in one; those of a part that was combined before are in one
    already.
    """
    texts: list[str] = []
    for value in values:
        texts += value.split(JOINT)
    return JOINT.join(dict.fromkeys(texts))


def _held_to_the_end(metrics: pa.Table) -> pa.Table:
    """Return the table of a cell with each trial's last measurement repeated at the later steps of
    the other trials. A trial's `last_step` is apart: one that diverged ends after its last
    measurement, at a step at which nothing is measured.
    """
    is_last = pc.field("quantity").isin(["last_step"])
    parts = [_held(metrics.filter(~is_last)), _held(metrics.filter(is_last))]
    return pa.concat_tables(parts)


def _held(metrics: pa.Table) -> pa.Table:
    """Return a table with each trial's last measurement repeated at later steps of the others."""
    ends = metrics.group_by("trial").aggregate([("step", "max")])
    position = SCHEMA.get_field_index("step")
    held = [metrics]
    for trial, end in zip(ends["trial"].to_pylist(), ends["step_max"].to_pylist(), strict=True):
        last = metrics.filter((pc.field("trial") == trial) & (pc.field("step") == end))
        later = metrics.filter(pc.field("step") > end)
        for step in pc.unique(later["step"]):
            at_step = metrics.filter(pc.field("step") == step)
            measured = pc.unique(at_step["quantity"].cast(pa.string()))
            rows = last.filter(pc.field("quantity").isin(measured))
            steps = pa.repeat(step, len(rows))
            held.append(rows.set_column(position, SCHEMA.field("step"), steps))
    return pa.concat_tables(held)
