"""The reference: runs that the repository keeps, few enough of their steps to be small, for others to compare with.

`results/reference/<scale>/` has the metrics of each experiment and the verdicts, `figures/reference/<scale>/` the
figures.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lowrank_dynamics import metrics
from lowrank_dynamics.config import Cell, load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES
from lowrank_dynamics.metrics import Metrics

FOLDER = Path("results/reference")
PICTURES = Path("figures/reference")
STEPS = 25
"""At how many steps a reference keeps a quantity, where it was measured at more."""
INDIFFERENT = {"trials", "threads"}
"""Settings on which no number of a trial depends."""
SERIES = [*Cell._fields, "quantity", "layer"]
"""The columns that tell one quantity of one layer of one cell from another."""


def keep(root: Path, scale: str) -> list[Path]:
    """Make the run at `scale` in the project `root` its reference: thinned metrics, verdicts and PNG figures.

    Left out are experiments that have the same settings at paper scale, where there are more trials, and figures of
    nothing else. Returns what was written; what was not run this time keeps the reference that it has. Raises UserError
    if there are no metrics.
    """
    results, folder, pictures = root / "results" / scale, root / FOLDER / scale, root / PICTURES / scale
    own = _own_experiments(root / "configs", scale)
    sources = [path for path in sorted(results.glob("metrics/*.parquet")) if path.stem in own]
    if not sources:
        raise UserError(f"{results}/metrics has no metrics to keep; run `snakemake --config scale={scale}` first")
    for source in sources:
        metrics.write(thinned(metrics.read(source)), folder / source.name)
    copied = {source: folder / source.name for source in sorted(results.glob("claims.[mp]*"))}
    for name in (name for name, figure in FIGURES.items() if own & set(figure.experiments)):
        if (picture := root / "figures" / scale / f"{name}.png").exists():
            copied[picture] = pictures / picture.name
    for source, target in copied.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return [*(folder / source.name for source in sources), *copied.values()]


def _own_experiments(configs: Path, scale: str) -> set[str]:
    """Return the experiments that have other settings at `scale` than at paper scale; all of them at that one."""
    own, paper = load_settings(scale, configs), load_settings("paper", configs)
    if scale == "paper":
        return set(own.experiments)
    return {
        name
        for name, experiment in own.experiments.items()
        for variant in experiment.variants
        if variant not in paper.experiment(name).variants
        or differing_settings(own.of_variant(name, variant), paper.of_variant(name, variant))
    }


def thinned(whole: Metrics, most: int = STEPS) -> Metrics:
    """Return metrics with at most `most` steps of each quantity of each cell, evenly spread and with first and last."""
    keys = whole.table.select([*SERIES, "step"]).to_pandas()
    kept = np.zeros(len(keys), dtype=bool)
    for _, rows in keys.groupby(SERIES, observed=True, sort=False):
        steps = np.unique(rows["step"])
        chosen = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
        kept[rows.index[rows["step"].isin(steps[chosen])]] = True
    return Metrics(whole.table.filter(pa.array(kept)), whole.provenance)


def differing_settings(run: Mapping[str, Any], reference: Mapping[str, Any], inside: str = "") -> list[str]:
    """Return the keys, such as `training.steps`, at which two settings differ, but for those no number depends on."""
    keys = []
    for key in dict.fromkeys([*run, *reference]):
        mine, other = run.get(key), reference.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            keys += differing_settings(mine, other, f"{inside}{key}.")
        elif mine != other and key not in INDIFFERENT:
            keys.append(f"{inside}{key}")
    return keys


def references(folder: Path, experiment: str) -> Iterator[Metrics]:
    """Yield the references of an experiment, by name of scale."""
    for path in sorted(folder.glob(f"*/{experiment}.parquet")):
        yield metrics.read(path)


def frame(found: Metrics) -> pd.DataFrame:
    """Return the rows of metrics with text for names, so that those of two files can be joined."""
    rows = found.table.to_pandas()
    return rows.astype(dict.fromkeys((*Cell._fields, "quantity"), str))
