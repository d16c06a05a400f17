"""A run against the reference, quantity by quantity, with tolerances from the spread over
trials.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.reference import SERIES, frame, references
from lowrank_dynamics.analysis.uncertainty import students_t
from lowrank_dynamics.config.cell import BASE, Cell
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.storage.metrics import Metrics

POINT = [*SERIES, "step", "index"]
CONFIDENCE = 0.995
"""Of Student's interval, one-sided. It is higher than that of a verdict, because many quantities
are compared.
"""
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
    is not compared: other settings, cells that the run or the reference lacks, and `experiments`
    not among `runs`.
    """
    tables: list[pd.DataFrame] = []
    uncompared = [Uncompared(name, "was not run") for name in experiments if name not in runs]
    for experiment, run in runs.items():
        kept = [reference.variants for reference in references(folder, experiment)]
        for variant, part in run.variants.items():
            what = experiment if variant == BASE else f"{experiment} {variant}"
            nearest = _nearest(part, kept, variant)
            if nearest is None:
                uncompared.append(Uncompared(what, "it has no reference"))
                continue
            differing = differing_keys(part.settings, nearest.settings)
            if differing:
                why = f"{nearest.scale} differs in {', '.join(differing)}"
                uncompared.append(Uncompared(what, why))
                continue
            tables.append(compare(part, nearest, experiment).assign(scale=nearest.scale))
            uncompared += _unpaired(experiment, part, nearest)
    if not tables:
        return pd.DataFrame(columns=[*COLUMNS, "scale"]), uncompared
    return pd.concat(tables, ignore_index=True), uncompared


def _nearest(run: Metrics, kept: Iterable[Mapping[str, Metrics]], variant: str) -> Metrics | None:
    """Return, of the references by variant, that of a variant whose settings differ from the run's
    at the fewest keys; None if there is none.
    """
    candidates = [variants[variant] for variants in kept if variant in variants]

    def distance(candidate: Metrics) -> int:
        return len(differing_keys(run.settings, candidate.settings))

    return min(candidates, key=distance, default=None)


def _unpaired(experiment: str, run: Metrics, reference: Metrics) -> Iterator[Uncompared]:
    """Yield the cells that only the reference or only the run has."""
    for cell in reference.cells:
        if cell not in run.cells:
            yield Uncompared(f"{experiment} {cell}", "was not run")
    for cell in run.cells:
        if cell not in reference.cells:
            yield Uncompared(f"{experiment} {cell}", "the reference lacks it")


def compare(run: Metrics, reference: Metrics, experiment: str) -> pd.DataFrame:
    """Return one row, with `COLUMNS`, for each quantity and layer that the reference has of the
    run's cells.

    The comparison covers the trials that both have, of the run's `trials` and the
    `reference_trials`, at the reference's `points` (steps and indices) until the run ended.
    `within` is the share of points at which each trial of the run has a value and the means differ
    by at most the tolerance; `difference` is the largest between two values, relative to the
    largest value. The tolerance is Student's interval for the difference of two independent means,
    from the spread over trials in both, and at least the square root of the computation's precision
    times the largest value, which covers rounding.
    """
    measured = frame(run)
    expected = _until_the_end(frame(reference), measured)
    spread = _pooled(measured, expected).rename("spread").reset_index()
    shared = expected[expected["trial"] < run.settings.trials]
    trial = [*POINT, "trial"]
    pairs = shared.merge(measured, how="left", on=trial, suffixes=("_expected", ""))
    pairs = pairs.merge(spread, on=POINT)
    precision = float(np.finfo(reference.settings.dtype).eps) ** 0.5
    both = {"trials": run.settings.trials, "reference_trials": reference.most_trials}
    rows = []
    for key, series in pairs.groupby(SERIES):
        place = dict(zip(SERIES, key, strict=True))
        compared = _compared(series, precision)
        rows.append({"experiment": experiment} | place | both | compared)
    return pd.DataFrame(rows, columns=COLUMNS)


def _until_the_end(expected: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the reference that belong to cells of the run, up to each cell's last
    step.
    """
    ends = measured.groupby(list(Cell._fields))["step"].max().rename("end")
    rows = expected.merge(ends.reset_index())
    return rows[rows["step"] <= rows["end"]]


def _pooled(measured: pd.DataFrame, expected: pd.DataFrame) -> "pd.Series[float]":
    """Return the standard deviation over trials at each point of the reference, from the trials of
    both, times Student's factor.
    """
    reference = expected.groupby(POINT)["value"].agg(["var", "count"])
    run = measured.groupby(POINT)["value"].agg(["var", "count"])
    run = run.reindex(reference.index, fill_value=0)
    freedom = (reference["count"] - 1) + (run["count"] - 1).clip(lower=0)
    squares = _squares(reference) + _squares(run)
    deviation = (squares / freedom.where(freedom > 0)) ** 0.5
    return deviation * freedom.map(lambda count: students_t(count, CONFIDENCE))


def _squares(spread: pd.DataFrame) -> "pd.Series[float]":
    """Return the sum of squared deviations from the mean, from variance and count."""
    return spread["var"].fillna(0) * (spread["count"] - 1).clip(lower=0)


def _compared(pairs: pd.DataFrame, precision: float) -> dict[str, Any]:
    """Return the `COLUMNS` of a quantity from `points` on; `pairs` has its values in run and
    reference.
    """
    trials = pairs["trial"].nunique()
    point = [pairs["step"], pairs["index"]]
    equal = pairs["value"] == pairs["value_expected"]  # infinities too
    gaps = (pairs["value"] - pairs["value_expected"]).mask(equal, 0)
    gaps = gaps.fillna(np.inf)  # infinities and missing values
    largest = float(pairs["value_expected"].abs().replace(np.inf, 0).max())
    means = gaps.groupby(point).mean().abs()
    spread = pairs["spread"].groupby(point).first()
    tolerance = (2 / trials) ** 0.5 * spread
    allowed = tolerance.fillna(0).clip(lower=precision * largest)
    within = float((means <= allowed).mean())
    present = gaps[pairs["value"].notna()].abs()
    if present.empty:
        outcome = Outcome.MISSING
    elif (gaps.abs() <= precision * largest).all():
        outcome = Outcome.SAME
    elif tolerance.isna().all():
        outcome = Outcome.ONE_TRIAL
    elif within >= ENOUGH:
        outcome = Outcome.WITHIN
    else:
        outcome = Outcome.DIFFERS
    return {
        "points": len(means),
        "within": within,
        "difference": float(present.max()) / (largest or 1),
        "outcome": outcome,
    }
