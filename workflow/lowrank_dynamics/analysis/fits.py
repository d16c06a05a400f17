"""What figures and claims compute from the metrics in common: fits, ratios, and where each trial ends.

Every function takes frames of metrics and returns one value a trial, or fewer rows. No torch, no plotting.
"""

import numpy as np
import pandas as pd

from lowrank_dynamics.storage.metrics import Metrics

CELL = ["activation", "parameterization", "variant"]


def until_the_end(rows: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """Return the rows up to each trial's own last step, without those that only hold its last values."""
    return _until_first_end(rows, metrics, [*CELL, "trial"])


def while_all_run(rows: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """Return the rows of each cell up to the step at which the first of its trials ends."""
    return _until_first_end(rows, metrics, CELL)


def _until_first_end(rows: pd.DataFrame, metrics: Metrics, columns: list[str]) -> pd.DataFrame:
    """Return the rows up to the first end of a trial among those with the same values of `columns`."""
    ends = metrics.frame("last_step").groupby(columns, observed=True)["value"].min().rename("end")
    joined = rows.join(ends, on=columns)
    return joined[joined["step"] <= joined["end"]].drop(columns="end")


def log_log_slope(rows: pd.DataFrame, against: str) -> pd.Series:
    """Return by trial the slope of log `value` fitted against the log of the column `against`."""
    return rows.groupby("trial")[[against, "value"]].apply(
        lambda trial: np.polyfit(np.log(trial[against]), np.log(trial["value"]), 1)[0]
    )


def decay_rate(rows: pd.DataFrame) -> pd.Series:
    """Return by trial the rate r of exp(-r step) fitted to `value`, per step."""
    return -rows.groupby("trial")[["step", "value"]].apply(
        lambda trial: np.polyfit(trial["step"], np.log(trial["value"]), 1)[0]
    )


def decay_fit(rows: pd.DataFrame) -> pd.Series:
    """Return by trial how well exp(-r step), r > 0, fits `value`: 1 for exact geometric decay, negative for growth.

    It is the square of the correlation of log `value` with the step, with the sign of the decay.
    """
    correlations = rows.groupby("trial")[["step", "value"]].apply(
        lambda trial: np.corrcoef(trial["step"], np.log(trial["value"]))[0, 1]
    )
    return -correlations * correlations.abs()


def gradient_gap(tail: pd.DataFrame, signal: pd.DataFrame) -> pd.Series:
    """Return by trial G_3 of assumption 3.4: the smallest of 1 - sigma_{K+1}(G_1(t)) / sigma_K(W_2' Y X') over t.

    `tail` has the first, `signal` the second singular value as `value`, both of one cell.
    """
    return 1 - tail.groupby("trial")["value"].max() / signal.set_index("trial")["value"]


def update_ratio(bounds: pd.DataFrame, updates: pd.DataFrame) -> pd.Series:
    """Return by trial the largest ratio, over steps and blocks 2 to 4, of a block's update to eta rho(t).

    `bounds` are the rows of `update_bound`, `updates` those of `block_update`, both of one cell.
    """
    outside = updates[updates["index"] > 1].groupby(["trial", "step"])["value"].max()
    ratios = outside / bounds.set_index(["trial", "step"])["value"]
    return ratios.groupby("trial").agg(lambda ratio: ratio.max(skipna=False))
