"""The values of one quantity, trial by trial: at the end, of a cell, beside another cell's."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pandas as pd

from lowrank_dynamics.analysis.fits import CELL, TRIAL
from lowrank_dynamics.config.base import NameIn
from lowrank_dynamics.config.registries import QUANTITIES
from lowrank_dynamics.storage.metrics import Metrics

Key = Literal["activation", "parameterization", "variant"]
Quantity = Annotated[str, NameIn(QUANTITIES)]
"""The options of measures that name a column of the metrics and a quantity in them."""
ROW = [*TRIAL, "layer", "index"]
"""The columns that distinguish the values of one quantity at one step."""
NEVER_THERE = "the network that it is compared with never gets there"


def value_at_end(metrics: Metrics, quantity: Quantity, index: int = 0) -> pd.DataFrame:
    """Return the quantity where each trial ends."""
    return at_end(metrics.frame(quantity, index=index))


def at_end(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows where each trial ends."""
    return rows[rows["step"] == last_step(rows)]


def of_cell(rows: pd.DataFrame, values: Mapping[Any, str | int | float]) -> pd.DataFrame:
    """Return the rows that have these values in their columns."""
    return rows[(rows[list(values)] == list(values.values())).all(axis=1)]


def last_step(rows: pd.DataFrame) -> "pd.Series[int]":
    """Return the last step of each row's cell, to which every trial's last values are held."""
    return rows.groupby(CELL)["step"].transform("max")


def first_reached(
    rows: pd.DataFrame, reached: "pd.Series[bool]", columns: list[str]
) -> pd.DataFrame:
    """Return, for each combination of `columns`, as `value` the first step at which it is
    `reached`, NaN where it never is, and as `end` the last step of the cell.
    """
    steps = rows.assign(value=rows["step"].where(reached), end=last_step(rows))
    times = steps.groupby(columns).agg({"value": "min", "end": "max"})
    return times.reset_index().assign(undefined=None)


def bounded_ratio(rows: pd.DataFrame) -> pd.DataFrame:
    """Return times relative to their `reference`.

    Where one is missing, because it never gets there, its `end` counts, which is less than it would
    need: the column `censored` says that the value is a lower bound.
    """
    needed = rows["value"].fillna(rows["end"])
    return rows.assign(value=needed / rows["reference"], censored=rows["value"].isna())


def with_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a column `start`: the value of the same trial at step 0."""
    start = rows[rows["step"] == 0].rename(columns={"value": "start"})
    return rows.merge(start[[*ROW, "start"]], on=ROW)


def with_reference(
    rows: pd.DataFrame, others: pd.DataFrame, cell: dict[Key, str], by_column: str | None = None
) -> pd.DataFrame:
    """Return the rows with a column `reference`: the value in `others` for the same trial of
    `cell`, and for the same value of `by_column` if both have several a trial.

    The column `undefined`, if there is one, also says where the reference is missing.
    """
    shared = [column for column in ROW if column not in cell]
    if by_column is not None:
        shared.append(by_column)
    reference = of_cell(others, cell).rename(columns={"value": "reference"})
    joined = rows.merge(reference[[*shared, "reference"]], on=shared)
    return with_missing_reference(joined, joined["reference"])


def with_missing_reference(rows: pd.DataFrame, reference: "pd.Series[float]") -> pd.DataFrame:
    """Return the rows with the reason, in the column `undefined` if there is one, where what they
    are compared with is missing and they are not.
    """
    if "undefined" not in rows:
        return rows
    missing = reference.isna() & rows["undefined"].isna()
    return rows.assign(undefined=rows["undefined"].mask(missing, NEVER_THERE))


def reduced(
    rows: pd.DataFrame, columns: list[str], reduce: Callable[[pd.Series], float]
) -> pd.DataFrame:
    """Return `reduce` of the values in step order, for each combination of `columns`."""
    ordered = rows.sort_values("step", kind="stable")
    return ordered.groupby(columns)["value"].agg(reduce).reset_index()
