"""From measured values to verdicts; docs/claims.md has the rules in words.

A verdict is never better than that of its worst cell, and what was not measured is never
reproduced.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.claims import CellKey, Claim, cell_label
from lowrank_dynamics.analysis.fits import CELL
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.analysis.trial_values import of_cell
from lowrank_dynamics.analysis.uncertainty import (
    FEWEST_TRIALS,
    MOST_TRIALS,
    error_of_mean,
    trials_to_settle,
)
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics

ROUNDING = 1e-5
LARGEST = {"block_share": 1.0, "train_accuracy": 1.0, "test_accuracy": 1.0, "gradient_tail": 1.0}
"""Quantities between 0 and this, up to rounding."""


class Verdict(StrEnum):
    """What a run says about a claim, from worst to best."""

    NOT_REPRODUCED = "not reproduced"
    NOT_TESTABLE = "not testable"
    UNDECIDED = "undecided"
    PARTLY = "partly reproduced"
    REPRODUCED = "reproduced"


ORDER = list(Verdict)


@dataclass(frozen=True)
class CellVerdict:
    """One cell's measured value, as mean, standard deviation and worst of its trials, with the
    verdict and why.

    With a confidence of 95 % each, the true mean is at least `mean - error` and at most
    `mean + error`; it may be any larger if the cell is `censored`, because training ended before
    some trial got where it is measured.
    """

    cell: str
    verdict: Verdict
    reason: str = ""
    mean: float = np.nan
    deviation: float = np.nan
    error: float = np.nan
    worst: float = np.nan
    trials: int = 0
    censored: bool = False


def judge(
    claim: Claim, metrics: Metrics | None, run: Run, cannot_tell: Mapping[str, str]
) -> list[CellVerdict]:
    """Return the verdict on each cell of a claim, from its experiment's metrics, None if that was
    not run.

    A cell with fewer trials than others is not testable; at a scale that cannot tell, every cell
    is, whatever was measured. An alternative of the sensitivity study, which may run fewer
    activations or parameterizations than a claim covers, is judged by those that it runs; if there
    are none, there is no verdict.
    """
    cells = claim.expected_cells()
    if metrics is None:
        if run.alternative:
            return []
        return _none_testable(cells, f"experiment {claim.experiment} was not run")
    if run.alternative:
        cells = [cell for cell in cells if _is_run(cell, metrics)]
    try:
        measured = MEASURES[claim.measure](metrics, **claim.options)
    except (UserError, np.linalg.LinAlgError) as error:
        return _none_testable(cells, str(error))
    for column in sorted(claim.cells):
        if column not in measured.columns:
            return _none_testable(cells, f"{claim.measure} has no column {column}")
    reason = cannot_tell.get(run.scale)
    verdicts = []
    for cell in cells:
        verdict = _judge_cell(claim, cell, of_cell(measured, cell), metrics.most_trials)
        if reason:
            verdict = replace(verdict, verdict=Verdict.NOT_TESTABLE, reason=reason)
        verdicts.append(verdict)
    return verdicts


def verdict_on(claim: Claim, least: float, most: float) -> Verdict:
    """Return the verdict on a value that is known to lie between two."""
    if claim.reading.contains(least, most):
        return Verdict.REPRODUCED
    if claim.weaker.contains(least, most):
        return Verdict.PARTLY
    if claim.weaker.excludes(least, most):
        return Verdict.NOT_REPRODUCED
    return Verdict.UNDECIDED


def require_possible(experiment: str, metrics: Metrics) -> None:
    """Raise UserError, naming the value, if a share, an accuracy or a ratio is out of range."""
    for quantity in metrics.values("quantity") & LARGEST.keys():
        values = metrics.frame(quantity)["value"]
        impossible = values[(values < -ROUNDING) | (values > LARGEST[quantity] + ROUNDING)]
        if len(impossible):
            raise UserError(
                f"the metrics of {experiment} have a {quantity} of {impossible.iloc[0]:g}, which"
                " is impossible; delete them and run again"
            )


def worst(cells: list[CellVerdict]) -> Verdict:
    """Return the worst of the cells' verdicts."""
    return min((cell.verdict for cell in cells), key=ORDER.index)


def _is_run(cell: CellKey, metrics: Metrics) -> bool:
    """Return whether the metrics have the activation, parameterization and variant of a cell."""
    for column, value in cell.items():
        if column in CELL and value not in metrics.values(column):
            return False
    return True


def _none_testable(cells: list[CellKey], reason: str) -> list[CellVerdict]:
    return [CellVerdict(cell_label(cell), Verdict.NOT_TESTABLE, reason) for cell in cells]


def _judge_cell(
    claim: Claim, cell: CellKey, rows: pd.DataFrame, expected_trials: int
) -> CellVerdict:
    """Compare the values in `rows`, those of one cell's trials, with the threshold."""
    values = rows["value"]
    label = cell_label(cell)
    problem = _problem(rows, expected_trials)
    if problem:
        return CellVerdict(label, Verdict.NOT_TESTABLE, problem, trials=len(values))
    mean = float(values.mean())
    deviation = float(values.std())
    worst_trial = claim.worst(values)
    error = error_of_mean(deviation, len(values))
    if claim.over_trials == "worst":
        value, uncertainty = worst_trial, 0.0
    else:
        value, uncertainty = mean, error
    censored = "censored" in rows and bool(rows["censored"].any())
    most = np.inf if censored else value + uncertainty
    verdict = verdict_on(claim, value - uncertainty, most)
    reason = _reason(claim, verdict, value, deviation, censored=censored)
    return CellVerdict(
        label, verdict, reason, mean, deviation, error, worst_trial, len(values), censored
    )


def _reason(
    claim: Claim, verdict: Verdict, value: float, deviation: float, *, censored: bool
) -> str:
    """Return why a verdict is undecided or only partly reproduced; empty for others."""
    if verdict not in {Verdict.UNDECIDED, Verdict.PARTLY}:
        return ""
    if censored:
        return "training ends before it gets there"
    if verdict is Verdict.UNDECIDED:
        trials = trials_to_settle(deviation, abs(claim.weaker.margin(value)))
        if trials is None:
            return f"{MOST_TRIALS:,} trials are not likely to settle it"
        return f"{trials} trials are likely to settle it"
    if claim.reading.contains(value, value):
        return "the error reaches beyond the stronger reading"
    return "only in the weaker reading"


def _problem(rows: pd.DataFrame, expected_trials: int) -> str:
    """Return why a cell's values cannot be judged; empty if they can."""
    if rows.empty:
        return "not measured"
    if rows["trial"].duplicated().any():
        return "several values per trial: the claim's cells must distinguish them"
    if len(rows) < expected_trials:
        return f"measured in only {len(rows)} of {expected_trials} trials"
    if len(rows) < FEWEST_TRIALS:
        few = "1 trial" if len(rows) == 1 else f"{len(rows)} trials"
        return f"only {few}; {FEWEST_TRIALS} are needed to estimate the spread"
    undefined = rows[~np.isfinite(rows["value"])]
    if len(undefined):
        return _why_undefined(undefined, len(rows))
    with np.errstate(over="ignore"):
        deviation = rows["value"].std()
    if not np.isfinite(deviation):
        return "the spread is not finite"
    return ""


def _why_undefined(rows: pd.DataFrame, trials: int) -> str:
    """Return why the values of these rows are not finite, as their measure says it in the column
    `undefined`, in how many of the `trials`: the most frequent reason.
    """
    if "undefined" not in rows or rows["undefined"].isna().any():
        return "a value is not finite"
    reasons = rows["undefined"].value_counts()
    return f"{reasons.index[0]} in {reasons.iloc[0]} of {trials} trials"
