"""The tables of verdicts in README.md and in docs, made from the reference: `make tables`.

Each is between two markers, `<!-- table: NAME -->` and `<!-- end -->`. With `--check`, as in `make
check`, nothing is written, and a document whose tables differ from the reference's is an error.
"""

import math
import re
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lowrank_dynamics.analysis import readable, sensitivity
from lowrank_dynamics.analysis.claims import Claims, Role, load_claims
from lowrank_dynamics.analysis.table import COLUMNS, read_otherwise, weakest_cells
from lowrank_dynamics.analysis.trial_values import of_cell, value_at_end
from lowrank_dynamics.analysis.verdicts import Verdict
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.figures import title
from lowrank_dynamics.config.loading import load_study
from lowrank_dynamics.config.registries import activation
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.rendering import choice_table, markdown, selected
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import MEANINGS
from lowrank_dynamics.storage.tables import read

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "artifact-evaluation.md",
    ROOT / "docs" / "beyond.md",
    ROOT / "docs" / "claims.md",
    ROOT / "docs" / "outputs.md",
    ROOT / "docs" / "sensitivity.md",
    ROOT / "docs" / "verdicts.md",
)
SUBJECTS = {
    "figure_1": "singular values of the first layer",
    "figure_2": "ELU against ReLU: movement of the middle subspace",
    "figure_3": "share of block 1 in the setting of the theory",
    "figure_4": "share of block 1 in four layers",
    "figure_5": "the same with SGD, Adam and Muon on minibatches",
    "figure_6": "full against low-rank networks, Fashion-MNIST",
    "longer": "figures 6 and 14 in five times the epochs",
    "figure_7": "full against low-rank heads of VGG-16",
    "figure_8": "layer 1: singular values and subspaces",
    "figure_9": "layer 2: the same",
    "figure_10": "layer 3: the same",
    "figure_11": "rank of the first gradient",
    "figure_12": "decay of the gradient",
    "figure_13": "tail of the gradient",
    "bound": "theorem 3.5: the shape of what bounds the updates",
    "figure_14": "factors rotated away from S_big",
    "figure_15": "wider low-rank heads",
}
"""What the README says of each figure that claims are about."""
RUNS = ("laptop", "paper", "converged", "laptop/beyond")
"""Those whose verdicts are in the tables."""
CHECKS = "Checks of our code"
AT_MATCHED_LOSS = "at_matched_loss"
"""Part of the names of claims that judge a statement where networks have learned as much."""
NEAR = 1.0
"""Errors of the mean from another verdict below which a claim is called near one."""
PLACE = re.compile(r"(<!-- table: (\w+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write the tables into the documents, or check them."""
    parser = ArgumentParser(prog="python -m tools.fill_tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if they differ")
    check = parser.parse_args().check
    try:
        _require_same_readings()
        for document in DOCUMENTS:
            _fill(document, check=check)
    except UserError as error:
        sys.exit(f"error: {error}")


def _require_same_readings() -> None:
    """Raise UserError if kept verdicts were reached with other thresholds than the statements
    have.
    """
    for name in RUNS:
        changed = read_otherwise(verdict_rows(name), statements(name))
        if changed:
            raise UserError(
                f"the reference at {name} scale has verdicts on {', '.join(changed)} by other"
                " thresholds than the statements have now; run and keep it again, or restore them"
            )


def _fill(document: Path, *, check: bool) -> None:
    """Write the tables into a document. Raises UserError if they are to be checked only, and
    differ.
    """
    before = document.read_text(encoding="utf-8")
    after = PLACE.sub(filled, before)
    if before == after:
        return
    if check:
        raise UserError(
            f"the tables of {document.relative_to(ROOT)} are not those of the reference; run"
            " `make tables`"
        )
    document.write_text(after, encoding="utf-8")


def filled(place: re.Match[str]) -> str:
    """Return a place between two markers, filled with the reference's table. Raises UserError for
    the name of no table.
    """
    name = place[2]
    tables = {
        "figures": figures,
        "held": held,
        "verdicts": verdicts,
        "converged": converged,
        "findings": findings,
        "heads": heads,
        "alternatives": alternatives,
        "columns": columns,
        "nearest": nearest,
    }
    lines = tables[name]() if name in tables else expected(name)
    return place[1] + "\n".join(lines) + place[3]


def verdict_rows(scale: str) -> pd.DataFrame:
    """Return the table of verdicts in the reference of a scale, one row per cell."""
    return read(REFERENCE / scale / "claims.parquet", COLUMNS).rows


def statements(scale: str) -> Claims:
    """Return the statements that a run is judged by."""
    return load_claims(Run.named(scale, ROOT, ROOT / "configs").statements)


def claims(scale: str) -> pd.DataFrame:
    """Return a row of text for each claim in the reference of a scale."""
    return readable.claims(verdict_rows(scale))


def shown(scale: str, role: Role = "claim") -> pd.Series:
    """Return the verdict, or that it was not run, of each claim in the reference of a scale, or of
    each check of our code.
    """
    rows = claims(scale)
    return rows[rows["role"] == role].set_index("claim")["shown"]


def held() -> list[str]:
    """Return the README's sentences on how many claims have each verdict, at both scales."""
    laptop, checks = shown("laptop"), shown("laptop", "check")
    twice = laptop.index.str.contains(AT_MATCHED_LOSS).sum()
    return [
        f"There are {len(laptop)} claims on statements of the paper, {twice} of them repeats of"
        " another at matched loss.",
        "",
        f"- At laptop scale: {counted('laptop')}.",
        f"- At paper scale: {counted('paper')}.",
        f"- Of {len(checks)} checks of our code, which follow from the mathematics,"
        f" {(checks == Verdict.REPRODUCED).sum()} hold.",
    ]


def counted(scale: str) -> str:
    """Return how many claims have each verdict that is given at a scale, best first."""
    counts = readable.verdict_counts(verdict_rows(scale))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def figures() -> list[str]:
    """Return the README's table: each figure that claims are about, with the number of those that
    are reproduced at both scales.
    """
    rows = claims("laptop")
    at_paper_scale = shown("paper")
    lines = []
    for name, part in rows[rows["role"] == "claim"].groupby("figure", sort=False):
        heading = title(str(name))
        anchor = heading.lower().replace(" ", "-").replace(".", "")
        lines.append(
            {
                "figure": f"[{heading}]({picture(str(name))})",
                "what it shows": SUBJECTS[str(name)],
                "laptop scale": reproduced(part["shown"]),
                "paper scale": reproduced(part["claim"].map(at_paper_scale)),
                "": f"[verdicts](docs/verdicts.md#{anchor})",
            }
        )
    return markdown(pd.DataFrame(lines))


def columns() -> list[str]:
    """Return the table of what the columns of metrics hold, as the files themselves say."""
    rows = {"column": [f"`{name}`" for name in MEANINGS], "meaning": list(MEANINGS.values())}
    return markdown(pd.DataFrame(rows))


def picture(figure: str) -> str:
    """Return the path of a figure in the reference: at paper scale, or else at laptop scale."""
    at_paper_scale = f"figures/reference/paper/{figure}.png"
    if (ROOT / at_paper_scale).exists():
        return at_paper_scale
    return f"figures/reference/laptop/{figure}.png"


def verdicts() -> list[str]:
    """Return a section for each figure: its claims with their verdicts at both scales, and the
    checks of our code after them.
    """
    headings = {
        "claim": "claim",
        "statement": "statement, in our words",
        "place": "where",
        "shown": "laptop scale",
        "at_paper_scale": "paper scale",
    }
    rows = claims("laptop")
    at_paper_scale = pd.concat([shown("paper"), shown("paper", "check")])
    rows["at_paper_scale"] = rows["claim"].map(at_paper_scale)
    parts = {}
    for figure, part in rows[rows["role"] == "claim"].groupby("figure", sort=False):
        parts[title(str(figure))] = part
    parts[CHECKS] = rows[rows["role"] == "check"]
    lines = []
    for name, part in parts.items():
        if name == CHECKS:
            headings["statement"] = "what follows from the mathematics"
        lines += [f"## {name}", "", *markdown(linked(selected(part, headings))), ""]
    return lines[:-1]


def reproduced(verdicts: pd.Series) -> str:
    """Return how many of some verdicts are "reproduced", and how many claims have no verdict, such
    as `2 of 3 reproduced, 1 open`, or why none can be.
    """
    if (verdicts == readable.NOT_RUN).all():
        return readable.NOT_RUN
    missing = verdicts.isin([readable.NOT_RUN, Verdict.NOT_TESTABLE])
    if missing.all():
        return Verdict.NOT_TESTABLE
    words = f"{(verdicts == Verdict.REPRODUCED).sum()} of {len(verdicts)} reproduced"
    return f"{words}, {missing.sum()} open" if missing.any() else words


def converged() -> list[str]:
    """Return the table of the claims on heads, after the epochs of a laptop run and of the
    paper.
    """
    headings = {
        "claim": "claim",
        "cell": "decided by",
        "measured": "measured after 250 epochs",
        "threshold": "taken to mean",
        "before": "after 36 epochs",
        "shown": "after 250",
    }
    rows = claims("converged")
    rows["before"] = rows["claim"].map(shown("laptop"))
    return markdown(linked(selected(rows[rows["experiment"] == "vgg_heads"], headings)))


def heads() -> list[str]:
    """Return the table of where the heads of figures 7 (b) and 15 end at paper scale, trial by
    trial.
    """
    measured = metrics.read(REFERENCE / "paper" / "vgg_heads.parquet", "vgg_heads", "paper")
    ends = value_at_end(measured, "test_accuracy").sort_values("trial")
    rows: dict[str, dict[str, str]] = {}
    for name in measured.cells:
        cell = Cell.named(name)
        head = f"`{cell.parameterization}`, r = {cell.variant.upper()}"
        row = rows.setdefault(head, {"head": head})
        percent = 100 * of_cell(ends, cell._asdict())["value"]
        row[f"{activation(cell.activation).label} (%)"] = ", ".join(percent.map("{:.2f}".format))
    return markdown(pd.DataFrame(list(rows.values())))


def findings() -> list[str]:
    """Return the table of our findings at laptop scale: what was expected, and what decides."""
    headings = {
        "place": "study",
        "statement": "what we expected",
        "cell": "decided by",
        "measured": "measured",
        "threshold": "taken to mean",
        "shown": "verdict",
    }
    rows = claims("laptop/beyond")
    rows["place"] = rows["place"].str.removeprefix("study ")
    return markdown(selected(rows, headings))


def alternatives() -> list[str]:
    """Return the sensitivity study: how many verdicts stand, which do not, and a table for each
    declared choice.
    """
    table = REFERENCE / "laptop" / "sensitivity.parquet"
    rows = read(table, sensitivity.COLUMNS).rows
    lines = [readable.sensitivity_summary(rows), "", *markdown(linked(readable.changes(rows)))]
    for heading, choice in readable.choices(rows, load_study(ROOT / "configs")).items():
        lines += ["", f"## {heading}", "", *choice_table(linked(choice))]
    return lines


def linked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with each claim linked to what is expected of it, from a page in docs."""
    return rows.assign(claim=rows["claim"].map("[`{0}`](artifact-evaluation.md#{0})".format))


def expected(experiment: str) -> list[str]:
    """Return the table of one experiment for evaluators: what decides each claim, and what is
    expected there. Raises UserError if no claim is about it.
    """
    headings = {
        "claim": "claim",
        "quantity": "measured",
        "cell": "decided by",
        "measured": "expected",
        "threshold": "taken to mean",
        "shown": "verdict",
    }
    rows = claims("laptop")
    if experiment not in set(rows["experiment"]):
        raise UserError(f"{experiment} is no table, and no experiment that claims are about")
    anchors = rows["claim"].map('<a id="{0}"></a>`{0}`: '.format)
    rows["claim"] = anchors + rows["statement"]
    return markdown(selected(rows[rows["experiment"] == experiment], headings))


def nearest() -> list[str]:
    """Return the claims whose value is near a change of verdict, in errors of the mean, nearest
    first.
    """
    distances = {}
    for cell in weakest_cells(verdict_rows("laptop")).to_dict("records"):
        distances[cell["claim"]] = errors_to_another_verdict(cell)
    near = pd.Series(distances).sort_values(kind="stable")
    return [f"- [`{claim}`](#{claim}): {value:.1f}" for claim, value in near[near < NEAR].items()]


def errors_to_another_verdict(cell: Mapping[Any, Any]) -> float:
    """Return how far a cell's mean is from where its verdict changes, in errors of the mean; inf if
    it has no error, or is judged by the worst trial.
    """
    mean, error = cell["mean"], cell["error"]
    if not cell["trials"] or not error > 0 or cell["over_trials"] == "worst":
        return math.inf
    reading = (cell["low"], cell["high"])
    weaker = (cell["weaker_low"], cell["weaker_high"])
    places = [weaker[0] - error, weaker[1] + error]  # outside of these it is excluded
    for low, high in (reading, weaker):
        if low + error <= high - error:
            places += [low + error, high - error]  # between these it is contained
    return min(abs(place - mean) for place in places) / error


if __name__ == "__main__":
    main()
