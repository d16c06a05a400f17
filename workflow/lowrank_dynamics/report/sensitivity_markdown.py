"""The sensitivity study as a Markdown page: what changes, then a table for each choice."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from lowrank_dynamics.analysis.sensitivity import changed_verdicts
from lowrank_dynamics.analysis.table import THRESHOLD_SIGNS, measured
from lowrank_dynamics.config.study import DECLARED, Study
from lowrank_dynamics.report.markdown import Grid, markdown, stamp


def as_page(
    compared: pd.DataFrame, study: Study, scale: str, unverified: Iterable[str] = ()
) -> str:
    """Return the page of a comparison; `unverified` names the unverified data."""
    lines = [f"# Sensitivity of the verdicts at {scale} scale", "", f"{summary(compared)}.", ""]
    header, changed = changes(compared)
    bold = ((claim, base, f"**{verdict}**", where) for claim, base, verdict, where in changed)
    lines += [*stamp(unverified), "## What changes", "", *markdown(header, bold)]
    for heading, grid in by_choice(compared, study):
        lines += ["", f"## {heading}", "", *markdown(*grid)]
    return "\n".join(lines) + "\n"


def summary(compared: pd.DataFrame) -> str:
    """Return how many verdicts stand."""
    stands = changed_verdicts(compared)["stands"]
    return f"{int(stands.sum())} of {len(stands)} verdicts are those at the declared values"


def changes(compared: pd.DataFrame) -> Grid:
    """Return, for each claim and each verdict other than the declared one, where it is given."""
    declared, varied = _declared(compared), changed_verdicts(compared)
    rows = []
    for (claim, verdict), changed in varied[~varied["stands"]].groupby(
        ["claim", "claim_verdict"], sort=False
    ):
        where = ", ".join(changed["choice"] + " " + changed["value"]).replace("_", " ")
        rows.append((str(claim), declared[claim]["claim_verdict"], str(verdict), where))
    return Grid(("claim", DECLARED, "becomes", "where"), rows)


def by_choice(compared: pd.DataFrame, study: Study) -> Iterator[tuple[str, Grid]]:
    """Yield, for each varied choice, its heading and the verdicts at each of its values."""
    declared, varied = _declared(compared), changed_verdicts(compared)
    for name, choice in study.choices.items():
        rows = varied[varied["choice"] == name]
        if rows.empty:
            continue
        values = [value for value in choice.alternatives if value in set(rows["value"])]
        heading = f"{choice.label[0].upper()}{choice.label[1:]} (declared: {choice.declared})"
        yield (
            heading,
            Grid(("claim", "must be", DECLARED, *values), [*_lines(declared, rows, values)]),
        )


def _declared(compared: pd.DataFrame) -> dict[Any, pd.Series]:
    """Return, by claim, the row of the declared values."""
    return {row["claim"]: row for _, row in compared[compared["choice"] == DECLARED].iterrows()}


def _lines(
    declared: dict[Any, pd.Series], varied: pd.DataFrame, values: list[str]
) -> Iterable[tuple[str, ...]]:
    """Yield, for each claim, its threshold and its verdict at the declared value and at each of
    `values`.
    """
    for claim, rows in varied.groupby("claim", sort=False):
        base = declared[claim]
        threshold = f"{THRESHOLD_SIGNS[base['comparison']]} {base['threshold']:g}"
        cells = {row["value"]: _cell(row) for _, row in rows.iterrows()}
        yield str(claim), threshold, _cell(base), *(cells.get(value, "") for value in values)


def _cell(row: pd.Series) -> str:
    value = measured(row)
    return f"**{row['claim_verdict']}**, {value} ({row['cell']})" if value else row["claim_verdict"]
