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
from lowrank_dynamics.analysis.rows import of_cell
from lowrank_dynamics.config.files import split_scale
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics

FEWEST_TRIALS = 3
WAS_NOT_RUN = "was not run"
"""The end of the reason if an experiment has no metrics."""
ROUNDING = 1e-5
STANDARD_ERRORS = 2.0
"""How many standard errors of the mean must lie on the right side of the threshold."""


LARGEST = {"block_share": 1.0, "train_accuracy": 1.0, "test_accuracy": 1.0, "gradient_tail": 1.0}
"""Quantities between 0 and this, up to rounding."""


class Verdict(StrEnum):
    """What a run says about a claim, from worst to best."""

    NOT_REPRODUCED = "not reproduced"
    NOT_TESTABLE = "not testable"
    PARTLY = "partly"
    REPRODUCED = "reproduced"


ORDER = list(Verdict)


@dataclass(frozen=True)
class CellVerdict:
    """One cell's measured value, as mean, standard deviation and worst of its trials, with the
    verdict and why.
    """

    cell: str
    verdict: Verdict
    reason: str = ""
    mean: float = np.nan
    deviation: float = np.nan
    worst: float = np.nan
    trials: int = 0


def judge(
    claim: Claim, metrics: Metrics | None, scale: str, cannot_tell: Mapping[str, str]
) -> list[CellVerdict]:
    """Return the verdict on each cell of a claim, from its experiment's metrics, None if that was
    not run.

    At a scale that cannot tell, every cell is not testable, whatever was measured. An alternative
    of the sensitivity study, which may run fewer activations or parameterizations than a claim
    covers, is judged by those that it runs; if there are none, there is no verdict.
    """
    scale, alternative = split_scale(scale)
    cells = claim.expected_cells()
    if metrics is None:
        return (
            []
            if alternative
            else _none_testable(cells, f"experiment {claim.experiment} {WAS_NOT_RUN}")
        )
    if alternative:
        run = {key: metrics.values(key) for key in claim.cells if key in CELL}
        cells = [
            cell for cell in cells if all(cell[key] in present for key, present in run.items())
        ]
    try:
        measured = MEASURES[claim.measure](metrics, **claim.options)
    except (UserError, np.linalg.LinAlgError) as error:
        return _none_testable(cells, str(error))
    if unknown := sorted(set(claim.cells) - set(measured.columns)):
        return _none_testable(cells, f"{claim.measure} tells no cells apart by {unknown[0]}")
    judged = [
        _judge_cell(claim, cell, of_cell(measured, cell), metrics.settings.trials) for cell in cells
    ]
    reason = cannot_tell.get(scale)
    return (
        [replace(cell, verdict=Verdict.NOT_TESTABLE, reason=reason) for cell in judged]
        if reason
        else judged
    )


def require_possible(experiment: str, metrics: Metrics) -> None:
    """Raise UserError, naming the value, if a share, an accuracy or a ratio is out of range."""
    for quantity in metrics.values("quantity") & LARGEST.keys():
        values = metrics.frame(quantity)["value"]
        impossible = values[(values < -ROUNDING) | (values > LARGEST[quantity] + ROUNDING)]
        if len(impossible):
            raise UserError(
                f"the metrics of {experiment} have a {quantity} of {impossible.iloc[0]:g}, which"
                " cannot be; delete them and run again"
            )


def worst(cells: list[CellVerdict]) -> Verdict:
    """Return the worst of the cells' verdicts."""
    return min((cell.verdict for cell in cells), key=ORDER.index)


def _none_testable(cells: list[CellKey], reason: str) -> list[CellVerdict]:
    return [CellVerdict(cell_label(cell), Verdict.NOT_TESTABLE, reason) for cell in cells]


def _judge_cell(
    claim: Claim, cell: CellKey, rows: pd.DataFrame, expected_trials: int
) -> CellVerdict:
    """Compare the values in `rows`, those of one cell's trials, with the threshold."""
    values, label = rows["value"], cell_label(cell)
    if problem := _problem(rows, expected_trials):
        return CellVerdict(label, Verdict.NOT_TESTABLE, problem, trials=len(values))
    mean, deviation, worst_trial = float(values.mean()), float(values.std()), claim.worst(values)
    if claim.over_trials == "worst":
        value, error = worst_trial, 0.0
    else:
        value, error = mean, STANDARD_ERRORS * (deviation / len(values) ** 0.5)
    if claim.meets(value, error):
        verdict, reason = Verdict.REPRODUCED, ""
    elif claim.meets(value):
        verdict, reason = (
            Verdict.PARTLY,
            f"within {STANDARD_ERRORS:g} standard errors of the threshold",
        )
    elif claim.meets(value, weaker=True):
        verdict, reason = Verdict.PARTLY, "only in the weaker reading"
    else:
        verdict, reason = Verdict.NOT_REPRODUCED, ""
    return CellVerdict(label, verdict, reason, mean, deviation, worst_trial, len(values))


def _problem(rows: pd.DataFrame, expected_trials: int) -> str:
    """Return why a cell's values cannot be judged; empty if they can."""
    if rows.empty:
        return "not measured"
    if rows["trial"].duplicated().any():
        return "several values a trial: the claim's cells must tell them apart"
    if len(rows) < expected_trials:
        return f"measured in {len(rows)} of {expected_trials} trials only"
    if len(rows) < FEWEST_TRIALS:
        few = "1 trial" if len(rows) == 1 else f"{len(rows)} trials"
        return f"only {few}; {FEWEST_TRIALS} are needed to estimate the spread"
    if not np.isfinite(rows["value"]).all():
        return "a value is not finite"
    with np.errstate(over="ignore"):
        return "" if np.isfinite(rows["value"].std()) else "the spread is not finite"
