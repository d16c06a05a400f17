"""Networks at the best variant of a grid, such as of learning rates, by their training loss."""

import pandas as pd

from lowrank_dynamics.analysis.fits import TRIAL
from lowrank_dynamics.analysis.trial_values import Key, of_cell, value_at_end
from lowrank_dynamics.storage.metrics import Metrics


def best_variants(metrics: Metrics) -> dict[str, str]:
    """Return, by parameterization, the variant that ends with the least mean training loss.

    A variant with a trial that took fewer steps than the others, because it diverged, is none.
    """
    steps = metrics.frame("last_step")[[*TRIAL, "value"]].rename(columns={"value": "steps"})
    ends = value_at_end(metrics, "train_loss").merge(steps, on=TRIAL)
    every_step = ends["steps"].max()
    best: dict[str, str] = {}
    least: dict[str, float] = {}
    for cell, trials in ends.groupby(["parameterization", "variant"], observed=True):
        name, variant = map(str, cell)
        loss = float(trials["value"].mean())
        finished = bool((trials["steps"] == every_step).all())
        if finished and loss < least.get(name, float("inf")):
            best[name] = variant
            least[name] = loss
    return best


def at_best(metrics: Metrics, quantity: str) -> pd.DataFrame:
    """Return the rows of a quantity of each parameterization at its best variant."""
    rows = metrics.frame(quantity)
    kept = []
    for name, variant in best_variants(metrics).items():
        kept.append(of_cell(rows, {"parameterization": name, "variant": variant}))
    return pd.concat(kept)


def gap_at_best(metrics: Metrics, quantity: str, to: dict[Key, str]) -> pd.DataFrame:
    """Return the quantity at the end of each parameterization at its best variant, minus that of
    the same trial of the cell with the values `to`, at its own.
    """
    rows = at_best(metrics, quantity)
    ends = rows[rows["step"] == rows["step"].max()]
    reference = of_cell(ends, to)[["activation", "trial", "value"]]
    joined = ends.merge(reference, on=["activation", "trial"], suffixes=("", "_reference"))
    return joined.assign(value=joined["value"] - joined["value_reference"])
