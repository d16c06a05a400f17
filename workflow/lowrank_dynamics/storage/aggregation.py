"""The metrics of an experiment from its jobs: trials joined into cells, and cells into one
table.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import SCHEMA, Metrics, read
from lowrank_dynamics.storage.provenance import Origin

ORDER = ("quantity", "layer", "index", "trial", "step")
"""The columns by which the rows of a cell are sorted."""


def aggregate(
    paths: Iterable[Path],
    experiment: str | None = None,
    scale: str | None = None,
    trials: int | None = None,
) -> Metrics:
    """Combine the metrics of an experiment's jobs, each in a file CELL/TRIALS.parquet.

    The cells keep the order of `paths`, and have the same rows however their trials were split into
    jobs. Every trial gets a row at every step of its cell: one that stopped early keeps its last
    values, as its weights do. Raises UserError if a file is of another cell, experiment or scale,
    if trials are missing (each cell must have `trials`, if given), and if the jobs of one variant
    come from different settings.
    """
    shards = []
    for path in paths:
        shard, name = read(path, experiment, scale), path.parent.name
        if set(shard.cells) != {name}:
            raise UserError(
                f"{path} is of the cell {', '.join(shard.cells)}; delete it and run again"
            )
        shards.append(shard)
    return combine(shards, trials)


def combine(parts: Iterable[Metrics], trials: int | None = None) -> Metrics:
    """Combine metrics of one experiment, each of some cells and trials; raises what `aggregate`
    does.
    """
    by_cell: dict[str, list[Metrics]] = {}
    for part in parts:
        for name, own in part.by_cell.items():
            by_cell.setdefault(name, []).append(own)
    every = [part.cells[name] for name, found in by_cell.items() for part in found]
    origins = {(each.variant, each.settings_sha256) for each in every}
    if len(origins) > len({variant for variant, _ in origins}):
        raise UserError(
            f"{', '.join(by_cell)} come from different settings; delete them and run again"
        )
    tables, cells = [], {}
    for name, found in by_cell.items():
        count = _complete(name, found, trials)
        tables.append(_held_to_the_end(_joined([part.table for part in found])))
        cells[name] = _origin([part.cells[name] for part in found], count)
    return Metrics(pa.concat_tables(tables).unify_dictionaries(), cells)


def _complete(name: str, parts: Sequence[Metrics], trials: int | None) -> int:
    """Return a cell's number of trials. Raises UserError, with their numbers, if some are missing
    or present twice.
    """
    there = sorted(trial for part in parts for trial in part.values("trial"))
    expected = set(range(trials or max(there) + 1))
    if missing := sorted(expected.difference(there)):
        raise UserError(
            f"{name} lacks the trials {', '.join(map(str, missing))}; run the jobs that train them"
        )
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
    sortable = rows.set_column(
        SCHEMA.get_field_index("quantity"), "quantity", rows["quantity"].cast(pa.string())
    )
    return rows.take(pc.sort_indices(sortable, sort_keys=[(name, "ascending") for name in ORDER]))


def _origin(parts: Sequence[Origin], trials: int) -> Origin:
    """Return the origin of a cell: its first job's, with the total time, most memory, every code
    and machine.
    """
    first = parts[0]
    settings = first.settings and first.settings.model_copy(update={"trials": trials})
    if len(parts) == 1:
        return first.model_copy(update={"settings": settings})
    kinds = {kind for part in parts for kind in part.megabytes}
    return first.model_copy(
        update={
            "settings": settings,
            "code": "; ".join(dict.fromkeys(part.code for part in parts)),
            "machine": "; ".join(dict.fromkeys(part.machine for part in parts)),
            "started": min(part.started for part in parts),
            "seconds": round(sum(part.seconds for part in parts), 1),
            "megabytes": {
                kind: max(part.megabytes.get(kind, 0) for part in parts) for kind in sorted(kinds)
            },
        }
    )


def _held_to_the_end(metrics: pa.Table) -> pa.Table:
    """Return the table of a cell with each trial's last values repeated at the later steps of the
    other trials.
    """
    ends = metrics.group_by("trial").aggregate([("step", "max")])
    held = [metrics]
    for trial, stop in zip(ends["trial"].to_pylist(), ends["step_max"].to_pylist(), strict=True):
        last = metrics.filter((pc.field("trial") == trial) & (pc.field("step") == stop))
        for step in pc.unique(metrics.filter(pc.field("step") > stop)["step"]):
            measured = pc.unique(
                metrics.filter(pc.field("step") == step)["quantity"].cast(pa.string())
            )
            rows = last.filter(pc.field("quantity").isin(measured))
            position = metrics.schema.get_field_index("step")
            held.append(rows.set_column(position, SCHEMA.field("step"), pa.repeat(step, len(rows))))
    return pa.concat_tables(held)
