"""How the reference stays small: of long measurements it keeps some steps."""

import numpy as np
import pyarrow as pa

from lowrank_dynamics.analysis.reference import SERIES
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Metrics

ROWS = 100_000
"""The most numbers per experiment that a reference keeps whole."""
STEPS = 25
"""The steps it keeps of a quantity, if there are more numbers and it was measured at more."""


def thinned(whole: Metrics, most: int = STEPS, numbers: int = ROWS) -> Metrics:
    """Return metrics with at most `most` steps of each quantity of each cell, evenly spread, first
    and last included.

    Metrics with at most `numbers` rows stay whole. Cells that lose steps have `thinned_to`.
    """
    if len(whole.table) <= numbers:
        return whole
    keys = whole.table.select([*SERIES, "step"]).to_pandas()
    kept = np.zeros(len(keys), dtype=bool)
    for _, rows in keys.groupby(SERIES, observed=True, sort=False):
        steps = np.unique(rows["step"])
        places = np.linspace(0, len(steps) - 1, most).round().astype(int)
        is_kept = rows["step"].isin(steps[places])
        kept[rows.index[is_kept]] = True
    cells = dict(whole.cells)
    losing = keys.loc[~kept, list(Cell._fields)].drop_duplicates()
    for key in losing.itertuples(index=False):
        name = Cell(*key).name
        cells[name] = cells[name].model_copy(update={"thinned_to": most})
    return Metrics(whole.table.filter(pa.array(kept)), cells)


def has_lost_steps(cell: Metrics) -> bool:
    """Return whether the metrics of one cell were thinned and some quantity had more steps.

    Earlier references say `thinned_to` of cells that lost nothing, too.
    """
    (origin,) = cell.cells.values()
    series = cell.table.group_by(["quantity", "layer"]).aggregate([("step", "count_distinct")])
    return origin.thinned_to in series["step_count_distinct"].to_pylist()
