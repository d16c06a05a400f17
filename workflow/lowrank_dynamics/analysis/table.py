"""The table of verdicts, one row per cell, and its wording."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.claims import Claim, Claims
from lowrank_dynamics.analysis.verdicts import (
    ORDER,
    WAS_NOT_RUN,
    CellVerdict,
    judge,
    require_possible,
    worst,
)
from lowrank_dynamics.config.cell import CellSettings
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.storage.metrics import Metrics

_MEASURED = ("mean", "deviation", "worst", "trials", "verdict")
COLUMNS = ("claim", "figure", "cell", *_MEASURED, "run_trials", "scale_trials", "claim_verdict")
"""The columns that readers of the table rely on."""
NOT_TRAINED = {"budget": "", "run_trials": 0}
NOT_RUN = "not run"
"""Shown instead of a verdict for a claim whose experiment was not run."""
THRESHOLD_SIGNS = {"at_least": "≥", "at_most": "≤", "within": "within ±"}


def claims_table(
    claims: Claims,
    runs: Mapping[str, Metrics],
    settings: Settings,
    scale: str,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return one row per cell of each claim about the experiments of `settings`, judged by the
    `runs`, by name.

    If `only` names experiments, the claims are those about them. Only the trials and cells in the
    settings count. The columns are those of the claim and of `CellVerdict`; `budget`, the length of
    training; `run_trials` and `scale_trials`, the number of trials in the run and the settings; and
    `claim_verdict`, the worst of the claim's cells. Raises UserError for an impossible value.
    """
    for name, run in runs.items():
        require_possible(name, run)
    judged = {
        name: runs[name].within(**each.judged)
        for name, each in settings.experiments.items()
        if name in runs
    }
    planned = {name: each.trials for name, each in settings.experiments.items()}
    rows: list[dict[str, Any]] = []
    for name, claim in claims.claims.items():
        if claim.experiment not in (settings.experiments if only is None else only):
            continue
        found = judged.get(claim.experiment)
        cells = judge(claim, found, scale, claims.scales_that_cannot_tell)
        trained = (
            {"budget": _budget(found.settings), "run_trials": found.settings.trials}
            if found
            else NOT_TRAINED
        )
        asked = {"scale_trials": planned.get(claim.experiment, 0)}
        rows += [
            {**_row(name, claim, cell), **trained, **asked, "claim_verdict": worst(cells)}
            for cell in cells
        ]
    return pd.DataFrame(rows, columns=None if rows else list(COLUMNS))


def _row(name: str, claim: Claim, cell: CellVerdict) -> dict[str, Any]:
    said = claim.model_dump(include={"place", "statement", "quantity", "experiment", "because"})
    threshold = {
        "comparison": claim.comparison,
        "threshold": claim.threshold,
        "weaker_threshold": claim.partly,
    }
    figure = claim.figure.removeprefix("figure_")
    return {
        "claim": name,
        "figure": figure,
        **said,
        **threshold,
        "over_trials": claim.over_trials,
        **asdict(cell),
    }


def _budget(settings: CellSettings) -> str:
    """Describe how long the cells of an experiment were trained."""
    training, samples = settings.training, settings.data.training_samples
    most = "at most " if training.stop_near_linear_fit else ""
    steps = f"{most}{training.steps:,} steps"
    if training.batch_size is None:
        return f"{steps} of all samples"
    epochs = training.steps / math.ceil(samples / training.batch_size)
    return f"{steps} of {training.batch_size} samples, {epochs:g} epochs"


def summary(table: pd.DataFrame) -> str:
    """Return how many claims have each verdict, best first, and for how many the run lacks
    trials.
    """
    verdicts = table.drop_duplicates("claim")["claim_verdict"]
    counts = ", ".join(
        f"{int((verdicts == verdict).sum())} {verdict}" for verdict in reversed(ORDER)
    )
    remark = (
        f". Judged by fewer trials than the scale has: {fewer}"
        if (fewer := fewer_trials(table))
        else ""
    )
    return f"{len(verdicts)} claims: {counts}{remark}"


def fewer_trials(table: pd.DataFrame) -> int:
    """Return how many claims are about experiments that ran fewer trials than the scale has."""
    claims = table.drop_duplicates("claim")
    return int(claims["run_trials"].between(1, claims["scale_trials"], inclusive="left").sum())


def weakest_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per claim: of the cells with its verdict, the one whose value is nearest to
    failing.
    """
    decisive = table[table["verdict"] == table["claim_verdict"]]
    value = decisive["worst"].where(decisive["over_trials"] == "worst", decisive["mean"])
    value = value.abs().where(decisive["comparison"] == "within", value)
    distance = value.where(decisive["comparison"] == "at_least", -value)
    return decisive.loc[distance.fillna(np.inf).groupby(decisive["claim"], sort=False).idxmin()]


def told(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return what pages show for a claim: its verdict, or that its experiment was not run."""
    return cells["claim_verdict"].mask(cells["reason"].str.endswith(WAS_NOT_RUN), NOT_RUN)


def trials(claim: pd.Series) -> str:
    """Return the run's number of trials for a claim, such as `5`, or `3 of 5` if the scale has
    more.
    """
    run, whole = claim["run_trials"], claim["scale_trials"]
    return f"{run} of {whole}" if run < whole else str(run)


def measured(cell: pd.Series) -> str:
    """Describe the mean and standard deviation over trials, and the worst trial where it counts."""
    if np.isnan(cell["mean"]):
        return ""
    trial = f", worst {cell['worst']:.3g}" if cell["over_trials"] == "worst" else ""
    return f"{cell['mean']:.3g} ± {cell['deviation']:.2g}{trial}"


def measured_or_why(cell: pd.Series) -> str:
    """Describe what was measured, or why nothing was."""
    return measured(cell) or cell["reason"]


def threshold(claim: pd.Series) -> str:
    """Describe what a claim is taken to mean, such as `≥ 0.9 (partly: ≥ 0.5)`."""
    weaker = claim["weaker_threshold"]
    partly = (
        f" (partly: {THRESHOLD_SIGNS[claim['comparison']]} {weaker:g})" if pd.notna(weaker) else ""
    )
    return f"{THRESHOLD_SIGNS[claim['comparison']]} {claim['threshold']:g}{partly}".replace(
        "± ", "±"
    )
