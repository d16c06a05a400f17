"""Networks at the best variant of a grid, such as of learning rates, by their training loss."""

import pandas as pd

from lowrank_dynamics.analysis.fits import CELL
from lowrank_dynamics.analysis.scaling import with_setting
from lowrank_dynamics.analysis.trial_values import (
    Key,
    Quantity,
    at_end,
    of_cell,
    value_at_end,
    with_reference,
)
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics


def losses_of_finished(metrics: Metrics) -> pd.DataFrame:
    """Return the training loss at the end of the cells whose trials all took the steps of their
    settings: none of them diverged. Raises UserError if there are none.
    """
    steps = metrics.frame("last_step")
    fewest = steps.groupby(CELL)["value"].min().rename("fewest")
    ends = value_at_end(metrics, "train_loss").join(fewest, on=CELL)
    ends = with_setting(metrics, ends, "training.steps")
    finished = ends[ends["fewest"] == ends["training.steps"]]
    if finished.empty:
        raise UserError("a trial of every cell diverged; lower the learning rates of the variants")
    return finished


def best_variants(metrics: Metrics) -> dict[str, str]:
    """Return, by parameterization, the variant that ends with the least mean training loss; those
    with a trial that diverged are left out.
    """
    by_cell = losses_of_finished(metrics).groupby(["parameterization", "variant"])
    least = by_cell["value"].mean().groupby("parameterization").idxmin()
    return dict(least.to_list())


def at_best(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the rows of a quantity of each parameterization at its best variant."""
    rows = metrics.frame(quantity)
    kept = []
    for name, variant in best_variants(metrics).items():
        kept.append(of_cell(rows, {"parameterization": name, "variant": variant}))
    return pd.concat(kept)


def gap_at_best(metrics: Metrics, quantity: Quantity, to: dict[Key, str]) -> pd.DataFrame:
    """Return the quantity at the end of each parameterization at its best variant, minus that of
    the same trial of the cell with the values `to`, at its own.
    """
    ends = at_end(at_best(metrics, quantity))
    variant = best_variants(metrics)[to["parameterization"]]
    joined = with_reference(ends, ends, to | {"variant": variant})
    return joined.assign(value=joined["value"] - joined["reference"])
