"""The tables of verdicts in README.md and in docs, made from the reference: `make tables`.

Each is between two markers, `<!-- table: NAME -->` and `<!-- end -->`. With `--check`, as in `make
check`, nothing is written, and a document whose tables differ from the reference's is an error.
"""

import math
import re
import sys
from pathlib import Path

import pandas as pd

from lowrank_dynamics.analysis import sensitivity
from lowrank_dynamics.analysis.table import (
    COLUMNS,
    NOT_RUN,
    measured_or_why,
    threshold,
    told,
    weakest_cells,
)
from lowrank_dynamics.analysis.verdicts import ORDER, Verdict
from lowrank_dynamics.config.figures import FIGURES, title
from lowrank_dynamics.config.files import load_study
from lowrank_dynamics.report import sensitivity_markdown
from lowrank_dynamics.report.markdown import Grid, markdown
from lowrank_dynamics.storage.tables import read

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("artifact-evaluation", "beyond", "claims", "sensitivity")
    ),
)
REPRODUCED = Verdict.REPRODUCED
NEAR = 2.0
"""Standard errors from another verdict below which a claim is called near one."""
SHOWN = (*reversed(ORDER), NOT_RUN)
PLACE = re.compile(r"(<!-- table: (\w+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def claims(scale: str) -> pd.DataFrame:
    """Return the weakest cell of each claim in the reference of a scale, with `shown`, its verdict
    or `not run`.
    """
    cells = weakest_cells(
        read(ROOT / "results" / "reference" / scale / "claims.parquet", COLUMNS).rows
    )
    return cells.assign(shown=told(cells))


def decisive(cell: pd.Series) -> tuple[str, str, str]:
    """Return which cell decides a claim, what was measured in it, and the threshold."""
    return cell["cell"], measured_or_why(cell), threshold(cell)


def held() -> list[str]:
    """Return the README's sentence on how many claims have each verdict, at both scales."""
    laptop, paper = (claims(scale)["shown"].value_counts() for scale in ("laptop", "paper"))
    said = [
        ", ".join(f"{counts[shown]} {shown}" for shown in SHOWN if shown in counts)
        for counts in (laptop, paper)
    ]
    return [
        f"Of {laptop.sum()} statements of the paper: {said[0]} at laptop scale; {said[1]} at paper"
        " scale."
    ]


def verdicts() -> list[str]:
    """Return the README's collapsible tables: every claim with its verdict at both scales, by
    figure.
    """
    laptop, paper = claims("laptop"), claims("paper")
    both = laptop.assign(at_paper_scale=paper["shown"].to_numpy())
    lines = []
    for figure, rows in both.groupby("figure", sort=False):
        counts = (
            f"{(rows[column] == REPRODUCED).sum()} of {len(rows)}"
            for column in ("shown", "at_paper_scale")
        )
        heading = f"Figure {figure}" if figure.isdigit() else title(figure)
        summary = "{}: {} reproduced at laptop scale, {} at paper scale".format(heading, *counts)
        links = [f"[`{claim}`](docs/artifact-evaluation.md#{claim})" for claim in rows["claim"]]
        cells = zip(
            links,
            rows["statement"],
            rows["place"],
            rows["shown"],
            rows["at_paper_scale"],
            strict=True,
        )
        header = (
            "claim",
            "what the paper says, in our words",
            "where",
            "laptop scale",
            "paper scale",
        )
        lines += [
            "<details>",
            f"<summary>{summary}</summary>",
            "",
            *markdown(header, cells),
            "",
            "</details>",
        ]
    return lines


def converged() -> list[str]:
    """Return the table of the claims on heads, after the epochs of a laptop run and of the
    paper.
    """
    found, before = claims("converged"), claims("laptop").set_index("claim")["shown"]
    rows = [
        (str(claim), *decisive(cell), before[claim], cell["shown"])
        for claim, cell in found[found["experiment"] == "vgg_heads"].set_index("claim").iterrows()
    ]
    header = (
        "claim",
        "decided by",
        "measured after 250 epochs",
        "taken to mean",
        "after 36 epochs",
        "after 250",
    )
    return linked(Grid(header, rows))


def findings() -> list[str]:
    """Return the table of our findings at laptop scale: what was expected, and what decides."""
    rows = []
    for _, cell in claims("laptop/beyond").iterrows():
        study, expected = cell["place"].removeprefix("study "), cell["statement"]
        rows.append((study, expected, *decisive(cell), cell["shown"]))
    return markdown(
        ("study", "what we expected", "decided by", "measured", "taken to mean", "verdict"), rows
    )


def alternatives() -> list[str]:
    """Return the sensitivity study: how many verdicts stand, which do not, and a table for each
    declared choice.
    """
    table = ROOT / "results" / "reference" / "laptop" / FIGURES["sensitivity"].table
    compared = read(table, sensitivity.COLUMNS).rows
    lines = [
        f"{sensitivity_markdown.summary(compared)}.",
        "",
        *linked(sensitivity_markdown.changes(compared)),
    ]
    for heading, grid in sensitivity_markdown.by_choice(compared, load_study(ROOT / "configs")):
        lines += ["", f"## {heading}", "", *linked(grid)]
    return lines


def linked(grid: Grid) -> list[str]:
    """Return a table whose first column links each claim to what is expected of it."""
    rows = ((f"[`{claim}`](artifact-evaluation.md#{claim})", *cells) for claim, *cells in grid.rows)
    return markdown(grid.header, rows)


def expected(experiment: str) -> list[str]:
    """Return the table of one experiment for evaluators: what decides each claim, and what is
    expected there.
    """
    found = claims("laptop")
    rows = [
        (
            f'<a id="{cell["claim"]}"></a>`{cell["claim"]}`: {cell["statement"]}',
            cell["quantity"],
            *decisive(cell),
            cell["shown"],
        )
        for _, cell in found[found["experiment"] == experiment].iterrows()
    ]
    return markdown(
        ("claim", "measured", "decided by", "expected", "taken to mean", "verdict"), rows
    )


def nearest() -> list[str]:
    """Return the claims whose value is near a change of verdict, in standard errors, nearest
    first.
    """
    found = claims("laptop")
    distances = found.set_index("claim").apply(errors_to_another_verdict, axis="columns")
    near = distances[distances < NEAR].sort_values()
    return [
        "\n".join(f"- [`{claim}`](#{claim}): {distance:.1f}" for claim, distance in near.items())
    ]


def errors_to_another_verdict(cell: pd.Series) -> float:
    """Return how many standard errors the mean of a cell is from where its verdict changes; inf if
    it has no spread.

    *Reproduced* begins two standard errors beyond the threshold, *partly* at the threshold or at
    that of the weaker reading.
    """
    error = cell["deviation"] / cell["trials"] ** 0.5 if cell["trials"] else math.nan
    if cell["over_trials"] == "worst" or not error > 0:
        return math.inf
    value = abs(cell["mean"]) if cell["comparison"] == "within" else cell["mean"]
    beyond = 2 * error if cell["comparison"] == "at_least" else -2 * error
    weaker = cell["threshold"] if pd.isna(cell["weaker_threshold"]) else cell["weaker_threshold"]
    return min(abs(value - place) for place in (cell["threshold"] + beyond, weaker)) / error


def filled(place: re.Match[str]) -> str:
    """Return a place between two markers, filled with the reference's table."""
    tables = {
        "nearest": nearest,
        "held": held,
        "verdicts": verdicts,
        "findings": findings,
        "converged": converged,
        "alternatives": alternatives,
    }
    lines = tables[place[2]]() if place[2] in tables else expected(place[2])
    return place[1] + "\n".join(lines) + place[3]


def main() -> None:
    """Write the tables into the documents, or check them."""
    for document in DOCUMENTS:
        before = document.read_text(encoding="utf-8")
        after = PLACE.sub(filled, before)
        if before != after and "--check" in sys.argv[1:]:
            sys.exit(
                f"{document.relative_to(ROOT)}: its tables are not those of the reference; run"
                " `make tables`"
            )
        document.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
