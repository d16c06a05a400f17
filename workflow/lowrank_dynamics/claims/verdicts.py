"""From measured values to verdicts; docs/claims.md has the rules in words.

A verdict is never better than that of its worst cell, and what was not measured is never reproduced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from lowrank_dynamics.claims.measures import MEASURES
from lowrank_dynamics.claims.statements import Claim, cell_label
from lowrank_dynamics.config import split_scale
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Metrics

FEWEST_TRIALS = 3
STANDARD_ERRORS = 2.0
"""How many standard errors of the mean must lie on the right side of the threshold."""


class Verdict(StrEnum):
    """What a run says of a claim, from the worst to the best."""

    NOT_REPRODUCED = "not reproduced"
    NOT_TESTABLE = "not testable"
    PARTLY = "partly"
    REPRODUCED = "reproduced"


ORDER = list(Verdict)


@dataclass(frozen=True)
class CellVerdict:
    """One cell's measured value: mean, standard deviation and number of trials, with the verdict and why."""

    cell: str
    mean: float
    deviation: float
    trials: int
    verdict: Verdict
    reason: str = ""


def judge(
    claim: Claim, metrics: Mapping[str, Metrics], scale: str, cannot_tell: Mapping[str, str]
) -> list[CellVerdict]:
    """Return the verdict on each cell of a claim, from the metrics of the experiments by name.

    At a scale that cannot tell, every cell is not testable, whatever was measured. An alternative of the sensitivity
    study, which may run fewer cells than a claim is about, is judged by those that it runs.
    """
    scale, alternative = split_scale(scale)
    if claim.experiment not in metrics:
        return _none_testable(claim, f"experiment {claim.experiment} was not run")
    try:
        measured = MEASURES[claim.measure](metrics[claim.experiment], **claim.options)
    except UserError as error:
        return _none_testable(claim, str(error))
    if unknown := sorted(set(claim.cells) - set(measured.columns)):
        return _none_testable(claim, f"{claim.measure} tells no cells apart by {unknown[0]}")
    judged = [_judge_cell(claim, cell, measured) for cell in claim.expected_cells()]
    if alternative and any(cell.trials for cell in judged):
        judged = [cell for cell in judged if cell.trials]
    if (reason := cannot_tell.get(scale)) is None:
        return judged
    return [
        CellVerdict(cell.cell, cell.mean, cell.deviation, cell.trials, Verdict.NOT_TESTABLE, reason) for cell in judged
    ]


def worst(cells: list[CellVerdict]) -> Verdict:
    """Return the worst of the cells' verdicts."""
    return min((cell.verdict for cell in cells), key=ORDER.index)


def _none_testable(claim: Claim, reason: str) -> list[CellVerdict]:
    return [
        CellVerdict(cell_label(cell), np.nan, np.nan, 0, Verdict.NOT_TESTABLE, reason)
        for cell in claim.expected_cells()
    ]


def _judge_cell(claim: Claim, cell: dict[str, str | int], measured: pd.DataFrame) -> CellVerdict:
    """Compare the values of one cell's trials with the threshold."""
    rows = measured
    for column, value in cell.items():
        rows = rows[rows[column] == value]
    values = rows["value"]
    mean = float(values.mean())
    deviation = float(values.std()) if np.isfinite(mean) else np.nan
    verdict, reason = _verdict(claim, mean, deviation, len(values))
    return CellVerdict(cell_label(cell), mean, deviation, len(values), verdict, reason)


def _verdict(claim: Claim, mean: float, deviation: float, trials: int) -> tuple[Verdict, str]:
    """Return the verdict on a mean over trials and, where it needs one, the reason."""
    if trials == 0:
        return Verdict.NOT_TESTABLE, "not measured"
    if trials < FEWEST_TRIALS:
        return Verdict.NOT_TESTABLE, f"{trials} trials, and a spread needs {FEWEST_TRIALS}"
    if not np.isfinite([mean, deviation]).all():
        return Verdict.NOT_TESTABLE, "a value is not finite"
    if not claim.meets(mean):
        weaker = claim.meets(mean, weaker=True)
        return (Verdict.PARTLY, "only in the weaker reading") if weaker else (Verdict.NOT_REPRODUCED, "")
    if not claim.meets(mean, STANDARD_ERRORS * deviation / trials**0.5):
        return Verdict.PARTLY, f"within {STANDARD_ERRORS:g} standard errors of the threshold"
    return Verdict.REPRODUCED, ""
