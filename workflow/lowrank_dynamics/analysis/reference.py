"""The reference: runs kept in the repository for others to compare with, thinned to stay small.

`results/reference/<scale>/` has the metrics of experiments and the verdicts,
`figures/reference/<scale>/` the figures. `report.keep_reference` makes them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import Metrics

FOLDER = Path("results/reference")
ROWS = 100_000
"""The most numbers per experiment that a reference keeps whole."""
STEPS = 25
"""The steps it keeps of a quantity, if there are more numbers and it was measured at more."""
SERIES = [*Cell._fields, "quantity", "layer"]
"""The columns that identify one quantity of one layer of one cell."""


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
        chosen = steps[np.linspace(0, len(steps) - 1, most).round().astype(int)]
        kept[rows.index[rows["step"].isin(chosen)]] = True
    cells = {
        name: cell.model_copy(update={"thinned_to": most}) for name, cell in whole.cells.items()
    }
    return Metrics(whole.table.filter(pa.array(kept)), cells)


def references(folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield the references of an experiment, by name of scale. Raises UserError for a file that
    cannot be read.
    """
    for path in sorted(folder.rglob(f"{experiment}.parquet")):
        try:
            yield metrics.read(path, experiment, path.parent.relative_to(folder).as_posix())
        except UserError as error:
            raise UserError(
                f"the reference {path} cannot be read; restore it as the project has it"
            ) from error


def frame(found: Metrics) -> pd.DataFrame:
    """Return the rows of metrics in a form in which two runs can be joined.

    Names are text. A trial's `last_step` is at step 0, because its value is the step, which may
    differ; it is there once, though metrics repeat a trial's last values to the end of the longest.
    """
    rows = found.table.to_pandas()
    rows.loc[rows["quantity"] == "last_step", "step"] = 0
    once = rows.drop_duplicates([*SERIES, "step", "index", "trial"])
    return once.astype(dict.fromkeys((*Cell._fields, "quantity"), str))
