"""The reference: runs kept in the repository for others to compare with.

`results/reference/<scale>/` has the metrics of experiments and the verdicts,
`figures/reference/<scale>/` the figures. `tools/keep_reference.py` makes them.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import NAMES, Metrics

SERIES = [*Cell._fields, "quantity", "layer"]
"""The columns that identify one quantity of one layer of one cell."""


def references(folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield the references of an experiment, by name of scale. Raises UserError for a file that
    cannot be read.
    """
    for path in sorted(folder.rglob(f"{experiment}.parquet")):
        scale = path.parent.relative_to(folder).as_posix()
        try:
            yield metrics.read(path, experiment, scale)
        except UserError as error:
            raise UserError(
                f"the reference {path} cannot be read; restore it as the project has it"
            ) from error


def frame(run: Metrics) -> pd.DataFrame:
    """Return the rows of metrics in a form in which two runs can be joined.

    Names are text. A trial's `last_step` is at step 0, because its value is the step, which may
    differ; it is there once, though metrics repeat a trial's last values to the end of the longest.
    """
    rows = run.table.to_pandas()
    rows.loc[rows["quantity"] == "last_step", "step"] = 0
    once = rows.drop_duplicates([*SERIES, "step", "index", "trial"])
    return once.astype(dict.fromkeys(NAMES, str))
