"""Tables and pages for readers: frames of text as Markdown, and as HTML by the templates next to
this module.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lowrank_dynamics.analysis import readable
from lowrank_dynamics.config.figures import short_title
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.study import DECLARED
from lowrank_dynamics.storage.tables import Table

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def html(template: str, **shown: Any) -> str:
    """Return the page that one of the templates makes of what is shown."""
    return TEMPLATES.get_template(template).render(shown)


def markdown(rows: pd.DataFrame, bold: Collection[str] = ()) -> list[str]:
    """Return the lines of a Markdown table. In the columns `bold`, words up to the first comma are
    bold.
    """
    for column in bold:
        rows = rows.assign(**{column: rows[column].map(_bold)})
    lines = [_line(rows.columns), _line(["---"] * len(rows.columns))]
    lines += map(_line, rows.itertuples(index=False, name=None))
    return lines


def selected(rows: pd.DataFrame, headings: dict[str, str]) -> pd.DataFrame:
    """Return the columns that are keys of `headings`, under these headings."""
    return rows[list(headings)].rename(columns=headings)


def claims_page(table: Table, run: Run) -> str:
    """Return the Markdown page of a table of verdicts: a line for each claim, then the cells behind
    each.

    The table has the paper's claims or, of the studies beyond the paper, our findings.
    """
    if run.is_beyond:
        heading = f"Findings beyond the paper at {run.scale} scale"
        said = "what we expected"
    else:
        heading, said = f"Claims at {run.name} scale", "what the paper says"
    claims = readable.claims(table.rows)
    headings = {
        "figure": "figure",
        "statement": said,
        "budget": "trained for",
        "trials": "trials",
        "cell": "decided by",
        "measured": "measured there",
        "threshold": "taken to mean",
        "verdict": "verdict",
    }
    shown = claims.assign(figure=claims["figure"].map(short_title))
    lines = _head(heading, readable.claims_summary(table.rows), table.unverified)
    lines += markdown(selected(shown, headings), bold=["verdict"])
    cells = readable.cells(table.rows)
    for claim in claims.to_dict("records"):
        lines += _claim_section(claim, cells[claim["claim"]])
    return _page(lines)


def _claim_section(claim: dict[Any, Any], cells: pd.DataFrame) -> list[str]:
    return [
        "",
        f"## {claim['claim']}",
        "",
        f"{claim['statement']} ({claim['place']})",
        "",
        f"Measured: {claim['quantity']}. Threshold: {claim['threshold']}, because"
        f" {claim['because']}.",
        "",
        *markdown(cells),
    ]


def comparison_page(table: Table, run: Run) -> str:
    """Return the Markdown page of a comparison: the counts, then each experiment, what differs,
    what is not compared.
    """
    heading = f"The run at {run.name} scale against the reference"
    lines = _head(heading, readable.comparison_summary(table.rows), table.unverified)
    experiments = readable.experiments(table.rows)
    if len(experiments):
        lines += markdown(experiments)
    differing = readable.differing(table.rows)
    if len(differing):
        lines += ["", "## What differs", "", *markdown(differing)]
    uncompared = readable.uncompared(table.origin.get("uncompared", []))
    if len(uncompared):
        lines += ["", "## What is not compared", "", *markdown(uncompared)]
    return _page(lines)


def sensitivity_page(table: Table, run: Run) -> str:
    """Return the Markdown page of the sensitivity study: what changes, then a table for each
    choice.
    """
    heading = f"Sensitivity of the verdicts at {run.scale} scale"
    lines = _head(heading, readable.sensitivity_summary(table.rows), table.unverified)
    changes = readable.changes(table.rows)
    lines += ["## What changes", "", *markdown(changes, bold=["becomes"])]
    for choice, rows in readable.choices(table.rows, run.sensitivity_study).items():
        lines += ["", f"## {choice}", "", *choice_table(rows)]
    return _page(lines)


def choice_table(rows: pd.DataFrame) -> list[str]:
    """Return the lines of the Markdown table of one choice, with every verdict bold."""
    first = list(rows.columns).index(DECLARED)
    return markdown(rows, bold=rows.columns[first:])


def _head(heading: str, summary: str, unverified: Iterable[str]) -> list[str]:
    """Return the first lines of a page, which name the unverified data."""
    lines = [f"# {heading}", "", summary, ""]
    names = ", ".join(unverified)
    if names:
        lines += [f"**Unverified data: {names}.**", ""]
    return lines


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    escaped = [cell.replace("|", "&#124;") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _bold(words: str) -> str:
    first, comma, rest = words.partition(",")
    return f"**{first}**{comma}{rest}" if first else words
