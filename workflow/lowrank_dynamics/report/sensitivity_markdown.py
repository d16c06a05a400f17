"""The sensitivity study as a page in Markdown: what changes, then a table for each choice."""

from collections.abc import Iterable

import pandas as pd

from lowrank_dynamics.analysis.sensitivity import changed_verdicts
from lowrank_dynamics.analysis.table import THRESHOLD_SIGNS, measured
from lowrank_dynamics.config.study import DECLARED, Study
from lowrank_dynamics.report.markdown import markdown, stamp


def as_page(compared: pd.DataFrame, study: Study, scale: str, unverified: Iterable[str] = ()) -> str:
    """Return the comparison in Markdown: what changes, then a table for each choice.

    `unverified` says what of the data is not verified.
    """
    varied = changed_verdicts(compared)
    lines = [f"# Sensitivity of the verdicts at {scale} scale", ""]
    lines += [f"{int(varied['stands'].sum())} of {len(varied)} verdicts are those at the declared values.", ""]
    lines += [
        *stamp(unverified),
        "## What changes",
        "",
        *markdown(("claim", DECLARED, "becomes", "where"), _changes(compared)),
    ]
    for name, choice in study.choices.items():
        rows = varied[varied["choice"] == name]
        if rows.empty:
            continue
        lines += ["", f"## {choice.label[0].upper()}{choice.label[1:]} (declared: {choice.declared})", ""]
        values = [value for value in choice.alternatives if value in set(rows["value"])]
        lines += markdown(("claim", "must be", DECLARED, *values), _lines(compared, rows, values))
    return "\n".join(lines) + "\n"


def _changes(compared: pd.DataFrame) -> Iterable[tuple[str, ...]]:
    """Yield, for each claim and each other verdict, where it is given."""
    declared = compared[compared["choice"] == DECLARED].set_index("claim")["claim_verdict"]
    varied = changed_verdicts(compared)
    changes = varied[~varied["stands"]]
    for (claim, verdict), rows in changes.groupby(["claim", "claim_verdict"], sort=False):
        where = ", ".join(f"{choice} {value}" for choice, value in zip(rows["choice"], rows["value"], strict=True))
        yield str(claim), str(declared[str(claim)]), f"**{verdict}**", where.replace("_", " ")


def _lines(compared: pd.DataFrame, rows: pd.DataFrame, values: list[str]) -> Iterable[tuple[str, ...]]:
    """Yield, for each claim, its threshold and its verdict at the declared value and at each of `values`."""
    for claim in rows["claim"].unique():
        of_claim = compared[compared["claim"] == claim]
        declared = of_claim[of_claim["choice"] == DECLARED].iloc[0]
        threshold = f"{THRESHOLD_SIGNS[declared['comparison']]} {declared['threshold']:g}"
        varied = rows[rows["claim"] == claim].set_index("value")
        cells = [_cell(varied.loc[value]) if value in varied.index else "" for value in values]
        yield claim, threshold, _cell(declared), *cells


def _cell(row: pd.Series) -> str:
    value = measured(row)
    return f"**{row['claim_verdict']}**, {value} ({row['cell']})" if value else row["claim_verdict"]
