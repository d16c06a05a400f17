"""The table of verdicts: one row per cell of each claim, and which cell decides a claim."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.claims import Claim, Claims
from lowrank_dynamics.analysis.verdicts import judge, require_possible, worst
from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.storage.metrics import Metrics

_MEASURED = ("mean", "deviation", "error", "worst", "trials", "censored", "verdict", "reason")
_READING = ("quantity", "low", "high", "weaker_low", "weaker_high", "over_trials")
_RUN = ("run_trials", "scale_trials", "claim_verdict")
COLUMNS = ("claim", "role", "figure", "cell", *_MEASURED, "low", "high", *_RUN)
"""The columns that readers of the table rely on."""


def claims_table(
    claims: Claims,
    measured: Mapping[str, Metrics],
    settings: Settings,
    run: Run,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return one row per cell of each claim about the experiments of `settings`, judged by what
    was `measured` in each of them.

    If `only` names experiments, the claims are those about them. Only the trials and cells in the
    settings count. The columns are those of the claim and of `CellVerdict`; `budget`, the length of
    training; `run_trials` and `scale_trials`, the most trials of a cell in the run and in the
    settings; and `claim_verdict`, the worst of the claim's cells. Raises UserError for an
    impossible value.
    """
    judged = {}
    for name, metrics in measured.items():
        require_possible(name, metrics)
        if name in settings.experiments:
            judged[name] = metrics.within(**settings.experiments[name].judged)
    covered = settings.experiments if only is None else only
    rows: list[dict[str, Any]] = []
    for name, claim in claims.claims.items():
        if claim.experiment not in covered:
            continue
        part = judged.get(claim.experiment)
        cells = judge(claim, part, run, claims.scales_that_cannot_tell)
        if not cells:
            continue
        said = {"claim": name} | _said(claim)
        trained = _trained(claim, part) | {
            "scale_trials": _trials(settings, claim.experiment),
            "claim_verdict": worst(cells),
        }
        rows += [said | asdict(cell) | trained for cell in cells]
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.DataFrame(rows)


def _said(claim: Claim) -> dict[str, Any]:
    """Return the columns that state a claim."""
    stated = {"role", "figure", "place", "statement", "quantity", "experiment", "because"}
    readings = {
        "low": claim.reading.low,
        "high": claim.reading.high,
        "weaker_low": claim.weaker.low,
        "weaker_high": claim.weaker.high,
        "over_trials": claim.over_trials,
    }
    return claim.model_dump(include=stated) | readings


def _trained(claim: Claim, run: Metrics | None) -> dict[str, Any]:
    """Return the columns on how long and in how many trials the variants that a claim names were
    run, or all if it names none; empty and 0 if its experiment was not run.
    """
    if run is None:
        return {"budget": "", "run_trials": 0}
    budgets = []
    for cell in run.cells.values():
        if cell.settings and (cell.variant in claim.variants or not claim.variants):
            budgets.append(_budget(cell.settings))
    distinct = dict.fromkeys(budgets)
    return {"budget": "; ".join(distinct), "run_trials": run.most_trials}


def _trials(settings: Settings, experiment: str) -> int:
    """Return how many trials of an experiment a scale has: none if it lacks the experiment."""
    if experiment not in settings.experiments:
        return 0
    return settings.experiments[experiment].trials


def _budget(settings: CellSettings) -> str:
    """Describe how long the cells of a variant were trained."""
    training = settings.training
    most = "at most " if training.stop_near_linear_fit else ""
    steps = f"{most}{training.steps:,} steps"
    if training.batch_size is None:
        return f"{steps} of all samples"
    epochs = training.steps / settings.steps_per_epoch
    return f"{steps} of {training.batch_size} samples, {epochs:g} epochs"


def fewer_trials(table: pd.DataFrame) -> int:
    """Return how many claims are about experiments that ran fewer trials than the scale has."""
    claims = table[table["role"] == "claim"].drop_duplicates("claim")
    return int(claims["run_trials"].between(1, claims["scale_trials"], inclusive="left").sum())


def read_otherwise(table: pd.DataFrame, claims: Claims) -> list[str]:
    """Return the claims in a table of verdicts that the statements take to mean something else by
    now, or no longer have; other words for the same do not count.
    """
    names = []
    for row in table.drop_duplicates("claim").to_dict("records"):
        claim = claims.claims.get(row["claim"])
        if claim is None or any(row[key] != _said(claim)[key] for key in _READING):
            names.append(row["claim"])
    return names


def weakest_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per claim: of the cells with its verdict, the one that is nearest to failing,
    by the interval of its mean, or by its worst trial where that is judged.
    """
    decisive = table[table["verdict"] == table["claim_verdict"]]
    is_mean = decisive["over_trials"] == "mean"
    value = decisive["mean"].where(is_mean, decisive["worst"])
    error = decisive["error"].where(is_mean, 0)
    above, below = value - error - decisive["low"], decisive["high"] - value - error
    margin = above.where(above < below, below).fillna(np.inf)
    return decisive.loc[margin.groupby(decisive["claim"], sort=False).idxmin()]
