"""The reference: runs that the repository keeps, few enough of their steps to be small, for others to compare with.

`results/reference/<scale>/` has the metrics of each experiment and the verdicts, `figures/reference/<scale>/` the
figures.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lowrank_dynamics import metrics
from lowrank_dynamics.config import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Metrics

FOLDER = Path("results/reference")
FIGURES = Path("figures/reference")
STEPS = 25
"""At how many steps a reference keeps a quantity, where it was measured at more."""
SERIES = [*Cell._fields, "quantity", "layer"]
"""The columns that tell one quantity of one layer of one cell from another."""


def keep(root: Path, scale: str) -> list[Path]:
    """Make the run at `scale` in the project `root` its reference: thinned metrics, verdicts and PNG figures.

    Returns what was written. An experiment that was not run this time keeps the reference that it has. Raises UserError
    if there are no metrics.
    """
    results, folder = root / "results" / scale, root / FOLDER / scale
    sources = sorted(results.glob("metrics/*.parquet"))
    if not sources:
        raise UserError(f"{results}/metrics has no metrics to keep; run `snakemake --config scale={scale}` first")
    figures = root / FIGURES / scale
    for place in (folder, figures):
        place.mkdir(parents=True, exist_ok=True)
    for source in sources:
        metrics.write(thinned(metrics.read(source)), folder / source.name)
    copied = {source: folder / source.name for source in results.glob("claims.[mp]*")}
    copied |= {source: figures / source.name for source in sorted((root / "figures" / scale).glob("*.png"))}
    for source, target in copied.items():
        shutil.copy(source, target)
    return [*(folder / source.name for source in sources), *copied.values()]


def thinned(whole: Metrics, most: int = STEPS) -> Metrics:
    """Return metrics with at most `most` steps of each quantity of each cell, evenly spread and with first and last."""
    keys = whole.table.select([*SERIES, "step"]).to_pandas()
    kept = np.zeros(len(keys), dtype=bool)
    for _, rows in keys.groupby(SERIES, observed=True, sort=False):
        steps = np.unique(rows["step"])
        chosen = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
        kept[rows.index[rows["step"].isin(steps[chosen])]] = True
    return Metrics(whole.table.filter(pa.array(kept)), whole.provenance)


def references(folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield the references of an experiment, by name of scale."""
    for path in sorted(folder.glob(f"*/{experiment}.parquet")):
        yield metrics.read(path)


def frame(found: Metrics) -> pd.DataFrame:
    """Return the rows of metrics with text for names, so that those of two files can be joined."""
    rows = found.table.to_pandas()
    return rows.astype(dict.fromkeys((*Cell._fields, "quantity"), str))
