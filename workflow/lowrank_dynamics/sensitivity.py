"""Whether the verdicts stand when a declared choice is changed: the tables of all alternatives as one."""

from collections.abc import Iterable, Mapping

import pandas as pd

from lowrank_dynamics.claims.table import THRESHOLD_SIGNS, measured, weakest_cells
from lowrank_dynamics.config import Study
from lowrank_dynamics.config.study import DECLARED
from lowrank_dynamics.pages import markdown, stamp

COLUMNS = ["choice", "value", "claim", "figures", "cell", "mean", "deviation", "worst", "trials", "claim_verdict"]
COLUMNS += ["over_trials", "comparison", "threshold"]


def compare(declared: pd.DataFrame, alternatives: Mapping[str, pd.DataFrame], study: Study) -> pd.DataFrame:
    """Return one row for each claim and alternative, with its weakest cell, those of the declared values first.

    `declared` and `alternatives`, by name, are tables of verdicts. Only claims that some alternative is about are kept.
    The choice and the value of the first rows are `declared`.
    """
    rows = [weakest_cells(declared).assign(choice=DECLARED, value=DECLARED)]
    for name, table in alternatives.items():
        choice, value, _ = study.alternatives[name]
        rows.append(weakest_cells(table).assign(choice=choice, value=value))
    joined = pd.concat(rows, ignore_index=True)
    varied = joined.loc[joined["choice"] != DECLARED, "claim"].unique()
    return joined.loc[joined["claim"].isin(varied), COLUMNS].reset_index(drop=True)


def changed_verdicts(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of alternatives, with the column `stands`: whether the verdict is that at the declared values."""
    declared = compared[compared["choice"] == DECLARED].set_index("claim")["claim_verdict"]
    varied = compared[compared["choice"] != DECLARED]
    return varied.assign(stands=varied["claim_verdict"] == varied["claim"].map(declared))


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
