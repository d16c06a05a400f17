"""A run against the reference, quantity by quantity, with tolerances from the spread over
trials.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.reference import SERIES, frame, references
from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.storage.metrics import Metrics

POINT = [*SERIES, "step", "index"]
STANDARD_ERRORS = 3.0
"""How many standard errors two means over trials may lie apart."""
ENOUGH = 0.85
"""The share of points at which a quantity must be within tolerance: other draws may exceed it at
some.
"""
COLUMNS = [
    "experiment",
    *SERIES,
    "trials",
    "reference_trials",
    "points",
    "within",
    "difference",
    "outcome",
]


class Outcome(StrEnum):
    """How a quantity of a run compares with the reference, from best to worst."""

    SAME = "same numbers"
    WITHIN = "within the spread"
    ONE_TRIAL = "one trial, no spread"
    DIFFERS = "differs"
    MISSING = "not in the run"


class Uncompared(NamedTuple):
    """A part of the run or of the reference that is not compared, and why."""

    what: str
    why: str


def compare_all(
    runs: Mapping[str, Metrics], folder: Path, experiments: Iterable[str] = ()
) -> tuple[pd.DataFrame, list[Uncompared]]:
    """Compare each variant of the runs, by name, with the reference in `folder` that has its
    settings.

    Returns one row per compared quantity, with `COLUMNS` and the `scale` of the reference, and what
    is not compared: other settings, cells that the run lacks, and `experiments` not among `runs`.
    """
    tables: list[pd.DataFrame] = []
    uncompared = [Uncompared(name, "was not run") for name in experiments if name not in runs]
    for experiment, run in runs.items():
        kept = list(references(folder, experiment))
        for variant, own in run.variants.items():
            what = experiment if variant == BASE else f"{experiment} {variant}"
            others = [each.variants[variant] for each in kept if variant in each.variants]
            candidates = [(differing_keys(own.settings, each.settings), each) for each in others]
            differing, nearest = min(
                candidates, key=lambda candidate: len(candidate[0]), default=([], None)
            )
            if nearest is None:
                uncompared.append(Uncompared(what, "there is no reference of it"))
            elif differing:
                uncompared.append(
                    Uncompared(what, f"{nearest.scale} has another {', '.join(differing)}")
                )
            else:
                tables.append(compare(own, nearest, experiment).assign(scale=nearest.scale))
                lacking = [cell for cell in nearest.cells if cell not in own.cells]
                uncompared += [
                    Uncompared(f"{experiment} {cell}", "was not run") for cell in lacking
                ]
    if not tables:
        return pd.DataFrame(columns=[*COLUMNS, "scale"]), uncompared
    return pd.concat(tables, ignore_index=True), uncompared


def compare(run: Metrics, reference: Metrics, experiment: str) -> pd.DataFrame:
    """Return one row, with `COLUMNS`, for each quantity and layer that the reference has of the
    run's cells.

    The comparison covers the trials that both have, of the run's `trials` and the
    `reference_trials`, at the reference's `points` (steps and indices) until the run ended.
    `within` is the share of points at which each trial of the run has a value and the means differ
    by at most the tolerance; `difference` is the largest between two values, relative to the
    largest value. The tolerance is 3 standard errors of the difference of two independent means,
    from the spread over trials in both, and at least the square root of the computation's precision
    times the largest value, which separates rounding from all else.
    """
    own, expected = frame(run), frame(reference)
    expected = expected.merge(
        own.groupby(list(Cell._fields))["step"].max().rename("end").reset_index()
    )
    expected = expected[expected["step"] <= expected["end"]]
    spread = _pooled(own, expected).rename("spread").reset_index()
    shared = expected[expected["trial"] < run.settings.trials]
    pairs = shared.merge(own, how="left", on=[*POINT, "trial"], suffixes=("_expected", "")).merge(
        spread, on=POINT
    )
    precision = float(np.finfo(reference.settings.dtype).eps) ** 0.5
    trials = run.settings.trials, reference.settings.trials
    rows = [
        (experiment, *key, *trials, *_row(series, precision))
        for key, series in pairs.groupby(SERIES)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pooled(own: pd.DataFrame, expected: pd.DataFrame) -> "pd.Series[float]":
    """Return the standard deviation over trials at each point of the reference, from the trials of
    both.
    """
    one, other = (rows.groupby(POINT)["value"].agg(["var", "count"]) for rows in (expected, own))
    other = other.reindex(one.index, fill_value=0)
    freedom = (one["count"] - 1) + (other["count"] - 1).clip(lower=0)
    squares = sum(
        each["var"].fillna(0) * (each["count"] - 1).clip(lower=0) for each in (one, other)
    )
    return (squares / freedom.where(freedom > 0)) ** 0.5


def _row(pairs: pd.DataFrame, precision: float) -> tuple[int, float, float, Outcome]:
    """Return the `COLUMNS` of a quantity from `points` on; `pairs` has its values in run and
    reference.
    """
    trials, point = pairs["trial"].nunique(), [pairs["step"], pairs["index"]]
    gaps = (pairs["value"] - pairs["value_expected"]).mask(
        pairs["value"] == pairs["value_expected"], 0
    )
    gaps = gaps.fillna(np.inf)  # infinities and missing values
    largest = float(pairs["value_expected"].abs().replace(np.inf, 0).max())
    means = gaps.groupby(point).mean().abs()
    tolerance = STANDARD_ERRORS * (2 / trials) ** 0.5 * pairs["spread"].groupby(point).first()
    within = float((means <= tolerance.fillna(0).clip(lower=precision * largest)).mean())
    present = gaps[pairs["value"].notna()].abs()
    if present.empty:
        outcome = Outcome.MISSING
    elif (gaps.abs() <= precision * largest).all():
        outcome = Outcome.SAME
    elif tolerance.isna().all():
        outcome = Outcome.ONE_TRIAL
    else:
        outcome = Outcome.WITHIN if within >= ENOUGH else Outcome.DIFFERS
    return len(means), within, float(present.max()) / (largest or 1), outcome
