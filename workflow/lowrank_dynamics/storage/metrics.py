"""The one tidy Parquet schema of all measurements: record, write, read.

A row is one number: its experiment and cell, trial and step, layer, quantity and index, and value.
A file also has a column with the scale, so that those of several runs can be concatenated, what
each column means, and its provenance. This module imports no torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.registries import in_order
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import parquet
from lowrank_dynamics.storage.provenance import CellOrigin

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = "4"
NAME = pa.dictionary(pa.int32(), pa.string())
MEANINGS = {
    "scale": "the run: a scale, or a study at a scale such as `laptop/beyond`",
    "experiment": "its name in the settings",
    "activation": "phi, by its name in the settings",
    "parameterization": "`full`, `s_big`, `random`, or another initialization of a network",
    "variant": "`base`, or a name for what it changes: optimizer, eps, angle, rank, width, samples",
    "trial": "from 0; the same trial has the same data and initial weights in every cell",
    "step": "training steps before the measurement",
    "layer": "l of W_l, from 1; 0 for the whole network",
    "quantity": "what was measured",
    "index": "of a quantity with several values, from 1; 0 if there is only one",
    "value": "the measured number",
}
"""What each column of a file holds, as its fields' metadata say."""


def _field(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": MEANINGS[name]})


SCHEMA = pa.schema(
    [
        _field("experiment", NAME),
        *(_field(key, NAME) for key in Cell._fields),
        _field("trial", pa.int32()),
        _field("step", pa.int32()),
        _field("layer", pa.int32()),
        _field("quantity", NAME),
        _field("index", pa.int32()),
        _field("value", pa.float64()),
    ]
)
NAMES = [field.name for field in SCHEMA if field.type == NAME]
"""The columns that hold names."""
IN_FILES = ["scale", *SCHEMA.names]
"""The columns of a file; in a program, the cells' origins know their scale."""


class Metrics(NamedTuple):
    """A tidy table, and the origin of each of its cells by name."""

    table: pa.Table
    cells: Mapping[str, CellOrigin]

    @property
    def settings(self) -> CellSettings:
        """The settings of the cells of the first variant. Raises UserError for measurements of a
        user's own model.
        """
        settings = next(iter(self.cells.values())).settings
        if settings is None:
            raise UserError(
                "metrics that `Watch` recorded have no settings; this needs those of an experiment"
            )
        return settings

    @property
    def most_trials(self) -> int:
        """The most trials that any cell has, by its settings; 0 for measurements of a user's own
        model.
        """
        counts = [cell.settings.trials for cell in self.cells.values() if cell.settings]
        return max(counts, default=0)

    @property
    def scale(self) -> str:
        """The scale of the cells."""
        return next(iter(self.cells.values())).scale

    @property
    def unverified(self) -> set[str]:
        """The names of unverified data."""
        names = set()
        for cell in self.cells.values():
            if "unverified" in cell.data:
                names.add(cell.data["unverified"])
        return names

    @property
    def provenance(self) -> dict[str, Any]:
        """Each cell's origin, ready for JSON: what the file holds besides the table."""
        return {"cells": {name: cell.as_json() for name, cell in self.cells.items()}}

    @property
    def variants(self) -> dict[str, "Metrics"]:
        """The metrics of each variant, in the order of the settings."""
        by_variant: dict[str, dict[str, CellOrigin]] = {}
        for name, cell in self.cells.items():
            by_variant.setdefault(cell.variant, {})[name] = cell
        variants = {}
        for variant, cells in by_variant.items():
            variants[variant] = self.where(variant=variant)._replace(cells=cells)
        return variants

    @property
    def by_cell(self) -> dict[str, "Metrics"]:
        """The metrics of each cell."""
        if len(self.cells) == 1:
            return dict.fromkeys(self.cells, self)
        tables = {}
        for keys in self.table.group_by(Cell._fields).aggregate([]).to_pylist():
            tables[Cell(**keys).name] = self.where(**keys).table
        by_cell = {}
        for name, cell in self.cells.items():
            if name in tables:
                by_cell[name] = Metrics(tables[name], {name: cell})
        return by_cell

    @property
    def trials_in_words(self) -> str:
        """The number of trials, such as `5 trials`, or `3 to 5 trials` where cells differ."""
        counts = self.table.group_by(Cell._fields).aggregate([("trial", "count_distinct")])
        fewest, most = pc.min_max(counts["trial_count_distinct"]).as_py().values()
        if fewest < most:
            return f"{fewest} to {most} trials"
        return "1 trial" if most == 1 else f"{most} trials"

    @property
    def activations(self) -> list[str]:
        """The activations that have rows, in the order of `ACTIVATIONS`."""
        return in_order(self.values("activation"))

    def values(self, column: str) -> set[Any]:
        """Return the values in a column."""
        return set(pc.unique(self.table[column]).to_pylist())

    def where(self, **equal: Any) -> "Metrics":
        """Return the metrics whose rows have these values, or one of several, in the named
        columns.
        """
        condition = pc.scalar(True)
        for column, value in equal.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            condition &= pc.field(column).isin(values)
        return Metrics(self.table.filter(condition), self.cells)

    def within(
        self, trials: int, activations: Iterable[str], parameterizations: Iterable[str]
    ) -> "Metrics":
        """Return the metrics of the first `trials` trials of the cells with these values."""
        condition = pc.field("trial") < trials
        condition &= pc.field("activation").isin(list(activations))
        condition &= pc.field("parameterization").isin(list(parameterizations))
        cells = {}
        for name, cell in self.cells.items():
            settings = cell.settings
            if settings is not None:
                fewer = min(trials, settings.trials)
                settings = settings.model_copy(update={"trials": fewer})
            cells[name] = cell.model_copy(update={"settings": settings})
        return Metrics(self.table.filter(condition), cells)

    def frame(self, quantity: str, **equal: Any) -> "pd.DataFrame":
        """Return the rows of one quantity with these values, or one of several; names are text.

        Raises UserError if there are none.
        """
        rows = self.where(quantity=quantity, **equal).table.to_pandas()
        if rows.empty:
            raise UserError(f"the metrics hold no {quantity}{_with(equal)}; {self._remedy}")
        return rows.astype(dict.fromkeys(NAMES, str))

    @property
    def _remedy(self) -> str:
        """What to do where a quantity has no rows."""
        if any(cell.settings for cell in self.cells.values()):
            return "check `observe` and the cells in the settings"
        return "record it at that step; at the first record nothing has changed, so it has no share"


def _with(equal: Mapping[str, Any]) -> str:
    """Return values of columns in words, empty if there are none."""
    values = ", ".join(f"{column} = {value}" for column, value in equal.items())
    return values and f" with {values}"


class Measurement(NamedTuple):
    """One quantity at one step: `values` (trials,) or (trials, n); `present` (trials,) marks those
    that count.
    """

    step: int
    layer: int
    quantity: str
    values: NDArray[np.float64]
    present: NDArray[np.bool_]


def table(
    experiment: str, cell: Cell, measurements: Iterable[Measurement], first: int = 0
) -> pa.Table:
    """Return the tidy table of one cell's trials, numbered from `first`; NaN values have no row.

    It is sorted by quantity, layer, index, trial and step.
    """
    measured = list(measurements)
    quantities = sorted({measurement.quantity for measurement in measured})
    parts = []
    for measurement in measured:
        parts.append(_columns(measurement, quantities.index(measurement.quantity)))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort([columns[name] for name in ("step", "trial", "index", "layer", "quantity")])
    columns["trial"] += first
    arrays = {}
    for name, column in columns.items():
        if name == "quantity":
            arrays[name] = _names(column[order], quantities)
        else:
            arrays[name] = _numbers(column[order], SCHEMA.field(name).type)
    for name, value in {"experiment": experiment, **cell._asdict()}.items():
        arrays[name] = _names(np.zeros(len(order)), [value])
    return pa.Table.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def _columns(measurement: Measurement, quantity: int) -> dict[str, NDArray[Any]]:
    """Return the rows of one measurement by column, with a number for its quantity."""
    by_index = measurement.values.reshape(len(measurement.values), -1)
    trials, positions = np.nonzero(measurement.present[:, None] & ~np.isnan(by_index))
    return {
        "trial": trials,
        "step": np.full(len(trials), measurement.step),
        "layer": np.full(len(trials), measurement.layer),
        "quantity": np.full(len(trials), quantity),
        "index": positions + (measurement.values.ndim > 1),
        "value": by_index[trials, positions],
    }


def _numbers(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of numbers; `pa.array` would import pandas, a third of a second in
    every job.
    """
    content = pa.py_buffer(values.astype(kind.to_pandas_dtype()))
    return pa.Array.from_buffers(kind, len(values), [None, content])


def _names(places: NDArray[Any], names: Sequence[str]) -> pa.Array:
    """Return an Arrow array of the names at `places`, made like `_numbers`."""
    encoded = [name.encode() for name in names]
    lengths = [len(name) for name in encoded]
    ends = np.cumsum([0, *lengths], dtype=np.int32)
    content = pa.py_buffer(b"".join(encoded))
    choices = pa.StringArray.from_buffers(len(names), pa.py_buffer(ends), content)
    return pa.DictionaryArray.from_arrays(_numbers(places, NAME.index_type), choices)


def write(metrics: Metrics, path: Path) -> None:
    """Write a tidy table with its provenance; an interrupted write leaves no file at `path`."""
    scale = _names(np.zeros(metrics.table.num_rows), [metrics.scale])
    rows = metrics.table.add_column(0, _field("scale", NAME), scale)
    parquet.write(rows, SCHEMA_VERSION, metrics.provenance, path)


def read(path: Path | str, experiment: str | None = None, scale: str | None = None) -> Metrics:
    """Return the metrics in `path`, of this experiment and scale if given.

    Raises UserError if it is not such a file, was altered, or has another schema, experiment or
    scale.
    """
    path = Path(path)
    table, provenance = parquet.read(path, "file of metrics", SCHEMA_VERSION, IN_FILES)
    if table.schema.names != IN_FILES:
        raise UserError(
            f"{path} has other columns than metrics of schema {SCHEMA_VERSION}; delete it and run"
            " again"
        )
    try:
        metrics = Metrics(table.drop("scale"), _Provenance.model_validate_json(provenance).cells)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        differs = f"{path} has a provenance of other code, which differs at {where}"
        raise UserError(f"{differs}; delete it and rerun") from error
    if experiment is not None:
        parquet.require_only(experiment, metrics.values("experiment"), path)
    if scale is not None:
        parquet.require_only(scale, {cell.scale for cell in metrics.cells.values()}, path)
    return metrics


def read_all(files: Iterable[Path], scale: str) -> dict[str, Metrics]:
    """Return the metrics of experiments by name, each in a file named after it; raises what `read`
    does.
    """
    return {path.stem: read(path, path.stem, scale) for path in files}


class _Provenance(BaseModel):
    cells: dict[str, CellOrigin]
