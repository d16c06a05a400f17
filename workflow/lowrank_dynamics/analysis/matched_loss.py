"""Values at matched training loss: where it first falls to some part of the first one.

Networks leave the plateau on which training begins at different steps. After the same number of
steps one of them may have changed little because it has learned little; at the same loss it has
not.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowrank_dynamics.analysis.fits import TRIAL
from lowrank_dynamics.analysis.trial_values import Key, bounded_ratio, with_reference
from lowrank_dynamics.storage.metrics import Metrics

LEVELS = (0.5, 0.25, 0.1)
"""Parts of the first training loss."""


def at_levels(metrics: Metrics, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the values of a quantity where the training loss first falls to each of `LEVELS`,
    given in the column `level`.

    `columns`, which begin with `TRIAL`, distinguish the series in `rows`. Values are interpolated
    between the recorded steps; where a trial never reaches a level, or reaches it before the first
    record, they are NaN, and the column `undefined` says so.
    """
    losses = metrics.frame("train_loss").sort_values("step", kind="stable")
    steps = {}
    for trial, series in losses.groupby(TRIAL):
        steps[trial] = _steps_to(series, LEVELS)
    values = []
    ordered = rows.sort_values("step", kind="stable")
    for key, series in ordered.groupby(list(columns)):
        reached = steps[key[: len(TRIAL)]]
        matched = np.interp(reached, series["step"], series["value"], left=np.nan)
        place = dict(zip(columns, key, strict=True))
        for level, step, value in zip(LEVELS, reached, matched, strict=True):
            reason = _why_undefined(level, step, value)
            values.append(place | {"level": level, "value": value, "undefined": reason})
    return pd.DataFrame(values)


def _why_undefined(level: float, step: float, value: float) -> str | None:
    """Return why there is no value where the training loss has fallen to a level, at `step`."""
    if np.isnan(step):
        return f"the training loss never falls to {level:g} of the first"
    if np.isnan(value):
        return f"the training loss falls to {level:g} of the first before the first record"
    return None


def _steps_to(losses: pd.DataFrame, levels: Sequence[float]) -> NDArray[np.float64]:
    """Return the step at which the loss of one trial first falls to each of these parts of the
    first; NaN where it never does.

    Between two recorded steps it is interpolated.
    """
    relative = losses["value"].to_numpy() / losses["value"].iloc[0]
    fallen = 1 - np.minimum.accumulate(relative)
    return np.interp(1 - np.array(levels), fallen, losses["step"], right=np.nan)


def time_to_fall(metrics: Metrics, to_level: float, of: dict[Key, str]) -> pd.DataFrame:
    """Return the step at which the training loss first falls to this part of the first, relative to
    that of the cell `of`; both as `bounded_ratio` has it.
    """
    losses = metrics.frame("train_loss").sort_values("step", kind="stable")
    times = []
    for trial, series in losses.groupby(TRIAL):
        (step,) = _steps_to(series, [to_level])
        place = dict(zip(TRIAL, trial, strict=True))
        times.append(place | {"value": step, "end": series["step"].max()})
    rows = pd.DataFrame(times).assign(layer=0, index=0, undefined=None)
    return bounded_ratio(with_reference(rows, rows, of))
