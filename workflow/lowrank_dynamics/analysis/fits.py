"""What figures and claims fit to the metrics, and up to which step. No torch, no plotting."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics

CELL = list(Cell._fields)
TRIAL = [*CELL, "trial"]


def until_first_end(rows: pd.DataFrame, metrics: Metrics, columns: list[str]) -> pd.DataFrame:
    """Return the rows up to the end of the first trial among those with the same values in
    `columns`.

    With `TRIAL` that is each trial's own end, after which the metrics only repeat its last values.
    """
    ends = metrics.frame("last_step").groupby(columns)["value"].min().rename("end")
    joined = rows.join(ends, on=columns)
    return joined[joined["step"] <= joined["end"]].drop(columns="end")


Fit = Callable[["pd.Series[float]", "pd.Series[float]"], float]


def fitted(rows: pd.DataFrame, columns: list[str], fit: Fit, x: str = "step") -> pd.DataFrame:
    """Return one of the fits below, to `value` against the column `x`, as `value` for each
    combination of `columns`.

    Raises UserError if there is nothing to fit.
    """
    if rows.empty:
        raise UserError(
            "none of what was measured can be fitted; check the cells and the variants in the"
            " settings"
        )
    groups = rows.groupby(columns)[[x, "value"]]
    return groups.apply(lambda group: fit(group[x], group["value"])).reset_index(name="value")


def slope(x: "pd.Series[float]", value: "pd.Series[float]") -> float:
    """Return the slope of `value` against `x`."""
    return np.polyfit(x, value, 1)[0]


def log_log_slope(x: "pd.Series[float]", value: "pd.Series[float]") -> float:
    """Return the slope of log `value` against log `x`."""
    return np.polyfit(np.log(x), np.log(value), 1)[0]


def decay_rate(step: "pd.Series[float]", value: "pd.Series[float]") -> float:
    """Return the rate r of exp(-r step), per step."""
    return -np.polyfit(step, np.log(value), 1)[0]


def decay_fit(step: "pd.Series[float]", value: "pd.Series[float]") -> float:
    """Return how well exp(-r step), r > 0, fits `value`: 1 for exact geometric decay, negative for
    growth.

    It is the squared correlation of log `value` with the step, with the sign of the decay.
    """
    correlation = np.corrcoef(step, np.log(value))[0, 1]
    return -correlation * abs(correlation)


def rise_and_decay_fit(step: "pd.Series[float]", value: "pd.Series[float]") -> float:
    """Return how well C q^t (1 - q^t), 0 < q < 1, fits `value` at the steps t >= 1: the part of the
    variance of its logarithm that the best such curve explains.

    Negative if that explains less than a constant, NaN for equal values, which do not vary.
    """
    logarithm = np.log(value.to_numpy())
    steps = step.to_numpy(dtype=float)

    def unexplained(log_rate: float) -> float:
        rates = np.exp(log_rate) * steps  # q^t = exp(-rate t)
        return float(np.var(logarithm + rates - np.log(-np.expm1(-rates))))

    variance = float(np.var(logarithm))
    if variance == 0:
        return np.nan
    slowest, fastest = -np.log(1e4 * steps.max()), 0.0
    best = minimize_scalar(unexplained, bounds=(slowest, fastest), method="bounded")
    return 1 - best.fun / variance
