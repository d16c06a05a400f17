"""The verdicts as a Markdown page: a line for each claim, then the cells behind each."""

from collections.abc import Iterable

import pandas as pd

from lowrank_dynamics.analysis.table import (
    measured,
    measured_or_why,
    summary,
    threshold,
    trials,
    weakest_cells,
)
from lowrank_dynamics.config.files import is_beyond, split_scale
from lowrank_dynamics.report.markdown import markdown, stamp


def as_page(table: pd.DataFrame, scale: str, unverified: Iterable[str] = ()) -> str:
    """Return the page of a table of verdicts; `unverified` names the unverified data.

    The table has the paper's claims or, for a scale such as `laptop/beyond`, our findings.
    """
    ours, (at, _) = is_beyond(scale), split_scale(scale)
    heading = f"# Findings beyond the paper at {at} scale" if ours else f"# Claims at {scale} scale"
    lines = [heading, "", f"{summary(table)}.", "", *stamp(unverified)]
    said = "what we expected" if ours else "what the paper says"
    lines += markdown(
        (
            "figure",
            said,
            "trained for",
            "trials",
            "weakest cell",
            "measured there",
            "taken to mean",
            "verdict",
        ),
        (_claim_line(cells) for _, cells in table.groupby("claim", sort=False)),
    )
    for name, cells in table.groupby("claim", sort=False):
        first = cells.iloc[0]
        lines += ["", f"## {name}", "", f"{first['statement']} ({first['place']})", ""]
        lines += [
            (
                f"Measured: {first['quantity']}. Threshold: {threshold(first)}, because"
                f" {first['because']}."
            ),
            "",
        ]
        header = ("cell", "mean ± sd", "trials", "verdict")
        lines += markdown(header, (_cell_line(cell) for _, cell in cells.iterrows()))
    return "\n".join(lines) + "\n"


def _claim_line(cells: pd.DataFrame) -> tuple[str, ...]:
    first, weakest = cells.iloc[0], weakest_cells(cells).iloc[0]
    about, trained = (first["figure"], first["statement"]), (first["budget"], trials(first))
    return (
        *about,
        *trained,
        weakest["cell"],
        measured_or_why(weakest),
        threshold(first),
        f"**{first['claim_verdict']}**",
    )


def _cell_line(cell: pd.Series) -> tuple[str, ...]:
    verdict = cell["verdict"] + (f" ({cell['reason']})" if cell["reason"] else "")
    return cell["cell"], measured(cell), str(cell["trials"]), verdict
