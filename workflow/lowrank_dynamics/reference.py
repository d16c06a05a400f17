"""The reference: runs that the repository keeps, few enough of their steps to be small, for others to compare with.

`results/reference/<scale>/` has the metrics of experiments and the verdicts, `figures/reference/<scale>/` the figures.
`keeping` makes them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lowrank_dynamics import metrics
from lowrank_dynamics.config import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Metrics

FOLDER = Path("results/reference")
STEPS = 25
"""At how many steps a reference keeps a quantity, where it was measured at more."""
INDIFFERENT = {"trials", "threads"}
"""Settings on which no number of a trial depends, but for rounding."""
SERIES = [*Cell._fields, "quantity", "layer"]
"""The columns that tell one quantity of one layer of one cell from another."""


def thinned(whole: Metrics, most: int = STEPS) -> Metrics:
    """Return metrics with at most `most` steps of each quantity of each cell, evenly spread and with first and last."""
    keys = whole.table.select([*SERIES, "step"]).to_pandas()
    kept = np.zeros(len(keys), dtype=bool)
    for _, rows in keys.groupby(SERIES, observed=True, sort=False):
        steps = np.unique(rows["step"])
        chosen = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
        kept[rows.index[rows["step"].isin(steps[chosen])]] = True
    cells = {name: {**cell, "thinned_to": most} for name, cell in whole.provenance["cells"].items()}
    return Metrics(whole.table.filter(pa.array(kept)), {"cells": cells})


def differing_settings(run: Mapping[str, Any], reference: Mapping[str, Any], inside: str = "") -> list[str]:
    """Return the keys, such as `training.steps`, at which two settings differ, but for `INDIFFERENT` ones."""
    keys = []
    for key in dict.fromkeys([*run, *reference]):
        mine, other = run.get(key), reference.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            keys += differing_settings(mine, other, f"{inside}{key}.")
        elif mine != other and key not in INDIFFERENT:
            keys.append(f"{inside}{key}")
    return keys


def references(folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield the references of an experiment, by name of scale. Raises UserError for a file that cannot be read."""
    for path in sorted(folder.glob(f"*/{experiment}.parquet")):
        try:
            yield metrics.read(path)
        except UserError as error:
            raise UserError(f"the reference {path} cannot be read; restore it as the project has it") from error


def frame(found: Metrics) -> pd.DataFrame:
    """Return the rows of metrics as those of another run can be joined to them.

    Names are text. A trial's `last_step` is at step 0, as it has its step for value, and that may differ.
    """
    rows = found.table.to_pandas()
    rows.loc[rows["quantity"] == "last_step", "step"] = 0
    return rows.astype(dict.fromkeys((*Cell._fields, "quantity"), str))
