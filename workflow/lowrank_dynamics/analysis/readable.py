"""What readers see of verdicts, of a comparison and of the sensitivity study: sentences and frames
of text.

The pages show these frames, in Markdown or HTML; nowhere else do their numbers become words.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis.claims import Role
from lowrank_dynamics.analysis.comparison import Outcome, Uncompared
from lowrank_dynamics.analysis.sensitivity import changed_verdicts
from lowrank_dynamics.analysis.table import fewer_trials, weakest_cells
from lowrank_dynamics.analysis.verdicts import ORDER, Verdict
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.study import DECLARED, Study

NOT_RUN = "not run"
"""Shown instead of a verdict for a claim whose experiment was not run."""
CLAIM_COLUMNS = [
    "claim",
    "role",
    "figure",
    "place",
    "statement",
    "quantity",
    "because",
    "experiment",
    "budget",
    "trials",
    "cell",
    "measured",
    "threshold",
    "verdict",
    "reason",
    "shown",
]
CHANGE_COLUMNS = ["claim", DECLARED, "becomes", "where"]
OUTCOMES = {
    Outcome.SAME: "have the same numbers",
    Outcome.WITHIN: "are within the spread of the trials",
    Outcome.ONE_TRIAL: "differ and have one trial, so no spread",
    Outcome.DIFFERS: "differ",
    Outcome.MISSING: "are not in the run",
}


def claims_summary(table: pd.DataFrame) -> str:
    """Return how many claims have each verdict, best first, how many checks of our code hold, and
    for how many the run lacks trials.
    """
    counts = verdict_counts(table)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    summary = f"{sum(counts.values())} claims: {words}."
    checks = verdict_counts(table, "check")
    tested = sum(checks.values()) - checks[Verdict.NOT_TESTABLE] - checks.get(NOT_RUN, 0)
    if tested:
        summary += f" {checks[Verdict.REPRODUCED]} of {tested} checks of our code hold."
    fewer = fewer_trials(table)
    if fewer:
        summary += f" Judged by fewer trials than the scale has: {fewer}."
    return summary


def claims(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text for each claim in a table of verdicts, with `CLAIM_COLUMNS`.

    `cell` is its weakest cell, and `measured` what was measured there, or why nothing was. `trials`
    is such as `5`, or `3 of 5` if the scale has more than the run; `verdict` may be that the
    experiment was not run, and `shown` also says what would settle an undecided one.
    """
    if table.empty:
        return pd.DataFrame(columns=CLAIM_COLUMNS)
    weakest = weakest_cells(table)
    weakest = weakest.assign(verdict=shown_verdicts(weakest))
    rows = []
    for claim in weakest.to_dict("records"):
        words = {
            "trials": _trials(claim),
            "measured": _measured(claim) or claim["reason"],
            "threshold": _threshold(claim),
            "shown": claim["verdict"],
        }
        if claim["verdict"] == Verdict.UNDECIDED:
            words["shown"] = f"{claim['verdict']}, {claim['reason']}"
        rows.append(claim | words)
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def cells(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, for each claim in a table of verdicts, a frame with a row of text for each cell."""
    frames = {}
    for claim, part in table.groupby("claim", sort=False):
        rows = []
        for cell in part.to_dict("records"):
            reason = f" ({cell['reason']})" if cell["reason"] else ""
            row = {
                "cell": cell["cell"],
                "mean ± sd": _measured(cell),
                "95 % on either side": _interval(cell),
                "trials": str(cell["trials"]),
                "verdict": cell["verdict"] + reason,
            }
            rows.append(row)
        frames[str(claim)] = pd.DataFrame(rows)
    return frames


def verdict_counts(table: pd.DataFrame, role: Role = "claim") -> dict[str, int]:
    """Return how many claims, or checks, have each verdict, best first, and how many were not run,
    if any.
    """
    once = table.drop_duplicates("claim")
    given = list(shown_verdicts(once[once["role"] == role]))
    counts = {str(verdict): given.count(verdict) for verdict in reversed(ORDER)}
    if NOT_RUN in given:
        counts[NOT_RUN] = given.count(NOT_RUN)
    return counts


def shown_verdicts(claims: pd.DataFrame) -> "pd.Series[str]":
    """Return what is shown for rows of claims: the verdict, or that the experiment was not run."""
    return claims["claim_verdict"].mask(claims["run_trials"] == 0, NOT_RUN)


def _measured(cell: Mapping[Any, Any]) -> str:
    """Describe the mean and standard deviation over trials, and the worst trial where it counts, or
    what the mean is at least; empty if nothing was measured.
    """
    if np.isnan(cell["mean"]):
        return ""
    if cell["censored"]:
        return f"≥ {cell['mean']:.3g}"
    words = f"{cell['mean']:.3g} ± {cell['deviation']:.2g}"
    if cell["over_trials"] == "worst":
        words += f", worst {cell['worst']:.3g}"
    return words


def _interval(cell: Mapping[Any, Any]) -> str:
    """Describe where the mean over further trials lies, with 95 % confidence on either side; empty
    where the worst trial counts.
    """
    if np.isnan(cell["mean"]) or cell["over_trials"] == "worst":
        return ""
    least, most = cell["mean"] - cell["error"], cell["mean"] + cell["error"]
    if cell["censored"]:
        return f"≥ {least:.3g}"
    return f"{least:.3g} to {most:.3g}"


def _threshold(claim: Mapping[Any, Any]) -> str:
    """Describe what a claim is taken to mean, such as `≥ 0.9 (partly: ≥ 0.5)`."""
    words = _bounds(claim["low"], claim["high"])
    if (claim["weaker_low"], claim["weaker_high"]) == (claim["low"], claim["high"]):
        return words
    return f"{words} (partly: {_bounds(claim['weaker_low'], claim['weaker_high'])})"


def _bounds(low: float, high: float) -> str:
    """Describe an interval, such as `≥ 0.9`, `within ±0.1` or `-0.1 to -0.05`."""
    if high == math.inf:
        return f"≥ {low:g}"
    if low == -math.inf:
        return f"≤ {high:g}"
    if low == -high:
        return f"within ±{high:g}"
    return f"{low:g} to {high:g}"


def _trials(claim: Mapping[Any, Any]) -> str:
    run, whole = claim["run_trials"], claim["scale_trials"]
    return f"{run} of {whole}" if run < whole else str(run)


def comparison_summary(compared: pd.DataFrame) -> str:
    """Return how many quantities of a comparison have each outcome."""
    if compared.empty:
        return "Nothing was compared: there is no reference with these settings."
    counts = compared["outcome"].value_counts()
    words = [f"{counts[outcome]:,} {OUTCOMES[outcome]}" for outcome in Outcome if outcome in counts]
    return f"Of {len(compared):,} quantities of the reference {', '.join(words)}."


def experiments(compared: pd.DataFrame) -> pd.DataFrame:
    """Return, for each experiment of a comparison, how many quantities have each outcome."""
    rows = []
    for experiment, part in compared.groupby("experiment", sort=False):
        first = part.iloc[0]
        row = {
            "experiment": experiment,
            "trials": str(first["trials"]),
            "reference": first["scale"],
            "its trials": str(first["reference_trials"]),
        }
        for outcome in Outcome:
            count = int((part["outcome"] == outcome).sum())
            row[outcome.value] = f"{count:,}"
        furthest = part["difference"].max()
        row["furthest from the reference, relative to the largest"] = f"{furthest:.1g}"
        rows.append(row)
    return pd.DataFrame(rows)


def differing(compared: pd.DataFrame) -> pd.DataFrame:
    """Return each quantity of a comparison that differs or that the run lacks."""
    differs = compared["outcome"].isin([Outcome.DIFFERS, Outcome.MISSING])
    rows = []
    for row in compared[differs].to_dict("records"):
        words = {
            "experiment": row["experiment"],
            "cell": Cell(row["activation"], row["parameterization"], row["variant"]).name,
            "layer": str(row["layer"]),
            "quantity": row["quantity"],
            "points within the tolerance": f"{row['within']:.0%} of {row['points']}",
            "furthest": f"{row['difference']:.1g}",
        }
        rows.append(words)
    return pd.DataFrame(rows)


def uncompared(parts: Iterable[Uncompared]) -> pd.DataFrame:
    """Return what is not compared, and why."""
    return pd.DataFrame(parts, columns=Uncompared._fields)


def sensitivity_summary(compared: pd.DataFrame) -> str:
    """Return how many verdicts of the sensitivity study stand."""
    stands = changed_verdicts(compared)["stands"]
    return f"{int(stands.sum())} of {len(stands)} verdicts are those at the declared values."


def changes(compared: pd.DataFrame) -> pd.DataFrame:
    """Return, for each claim and each verdict other than the declared one, where it is given."""
    declared, varied = _declared(compared), changed_verdicts(compared)
    changed = varied[~varied["stands"]]
    rows = []
    for (claim, verdict), part in changed.groupby(["claim", "claim_verdict"], sort=False):
        places = ", ".join(part["choice"] + " " + part["value"])
        base = declared[claim]["claim_verdict"]
        rows.append((claim, base, verdict, places.replace("_", " ")))
    return pd.DataFrame(rows, columns=CHANGE_COLUMNS)


def choices(compared: pd.DataFrame, study: Study) -> dict[str, pd.DataFrame]:
    """Return, by heading, a frame for each varied choice: a row for each claim, with the verdict at
    each of the values.
    """
    declared, varied = _declared(compared), changed_verdicts(compared)
    frames = {}
    for name, choice in study.choices.items():
        rows = varied[varied["choice"] == name]
        if len(rows):
            label = choice.label[0].upper() + choice.label[1:]
            frame = _choice(declared, rows, choice.alternatives)
            frames[f"{label} (declared: {choice.declared})"] = frame
    return frames


def _choice(
    declared: Mapping[Any, Mapping[Any, Any]], rows: pd.DataFrame, values: Iterable[str]
) -> pd.DataFrame:
    """Return the frame of one choice, whose alternatives have these `rows`."""
    present = set(rows["value"])
    columns = ["claim", "must be", DECLARED]
    columns += [value for value in values if value in present]
    lines = []
    for claim, part in rows.groupby("claim", sort=False):
        base = declared[claim]
        line = {"claim": claim, "must be": _threshold(base), DECLARED: _judged(base)}
        for row in part.to_dict("records"):
            line[row["value"]] = _judged(row)
        lines.append(line)
    return pd.DataFrame(lines, columns=columns).fillna("")


def _declared(compared: pd.DataFrame) -> dict[Any, dict[Any, Any]]:
    """Return, by claim, the row of the declared values."""
    rows = compared[compared["choice"] == DECLARED]
    return {row["claim"]: row for row in rows.to_dict("records")}


def _judged(row: Mapping[Any, Any]) -> str:
    """Return a verdict with what was measured and where, such as `reproduced, 0.93 ± 0.02 (GELU)`;
    the verdict alone if nothing was.
    """
    value = _measured(row)
    if not value:
        return row["claim_verdict"]
    return f"{row['claim_verdict']}, {value} ({row['cell']})"
