"""How the reference stays small: of long measurements it keeps some steps."""

import numpy as np
import pyarrow as pa

from lowrank_dynamics.analysis.reference import SERIES
from lowrank_dynamics.storage.metrics import Metrics

ROWS = 100_000
"""The most numbers per experiment that a reference keeps whole."""
STEPS = 25
"""The steps it keeps of a quantity, if there are more numbers and it was measured at more."""


def thinned(whole: Metrics, most: int = STEPS, numbers: int = ROWS) -> Metrics:
    """Return metrics with at most `most` steps of each quantity of each cell, evenly spread, first
    and last included.

    Metrics with at most `numbers` rows stay whole.
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
    cells = {}
    for name, cell in whole.cells.items():
        cells[name] = cell.model_copy(update={"thinned_to": most})
    return Metrics(whole.table.filter(pa.array(kept)), cells)
