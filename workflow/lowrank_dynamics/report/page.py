"""The report: one self-contained page of a run, from the verdicts to the settings of each
experiment.

The templates next to this module make it from the run's Parquet files and figures.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from lowrank_dynamics.analysis import comparison, sensitivity, table
from lowrank_dynamics.analysis.verdicts import ORDER, Verdict
from lowrank_dynamics.config.figures import FIGURES, OURS, SUMMARY, figures_of, title
from lowrank_dynamics.config.files import at_paper_scale, is_beyond, load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report import comparison_markdown, sensitivity_markdown
from lowrank_dynamics.report.production import Production, produced
from lowrank_dynamics.storage import tables
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import read_provenance

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
BEYOND = "beyond"
"""The folder of the studies beyond the paper, within a run's."""
COLORS = 256
"""The most colors of a picture on the page; this makes it a third as large without a visible
change.
"""


class Shown(NamedTuple):
    """A figure on the page: its picture as data, empty if not drawn; its file; what to look for;
    claims; runs.
    """

    name: str
    title: str
    caption: str
    picture: str
    file: str
    drawn_by: Mapping[str, Any]
    claims: list[str]
    experiments: list[Production]


def write_page(
    pictures: Sequence[Path],
    path: Path,
    *,
    results: Path,
    captions: Path,
    scale: str,
    configs: Path,
) -> None:
    """Write the report of the run at `scale` in the folder `results` to `path`.

    `pictures` are the figures to show, as PNG and named as in `FIGURES`; the paper's other figures
    are reported as missing. `captions` has the texts on what to look for. The studies beyond the
    paper are included if they were run. Raises UserError for an unreadable file or a picture of
    something else; an interrupted write leaves no file.
    """
    drawn = {picture.stem: picture for picture in pictures}
    _require_figures(drawn)
    verdicts, findings = (_judged(folder) for folder in (results, results / BEYOND))
    paper = load_settings("paper", configs)
    experiments = _produced(drawn, results, scale, configs)
    judged = pd.concat([verdicts, findings])
    figures = [
        _shown(name, drawn.get(name), captions, judged, experiments)
        for name in FIGURES
        if name in {*drawn, *figures_of(paper.experiments)}
    ]
    page = TEMPLATES.get_template("report.html.j2").render(
        scale=scale,
        results=results.as_posix(),
        sentence=_sentence(scale, _counts(verdicts)),
        fewer_trials=table.fewer_trials(verdicts),
        counts=_counts(verdicts),
        found=_counts(findings),
        ours=OURS,
        paper_claims=list(verdicts["claim"].unique()),
        findings=list(findings["claim"].unique()),
        **_claims(judged),
        claims_caption=(captions / "claims.rst").read_text(encoding="utf-8").strip(),
        figures={figure.name: figure for figure in figures},
        parts=_parts(figures),
        experiments=list(experiments.values()),
        compared=_comparison(results),
        varied=_sensitivity(results),
        unverified=sorted({each.unverified for each in experiments.values()} - {""}),
    )
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _require_figures(pictures: Mapping[str, Path]) -> None:
    if strange := [picture for name, picture in pictures.items() if name not in FIGURES]:
        raise UserError(f"{strange[0]} is no figure of a run; those are {', '.join(FIGURES)}")


def _judged(results: Path) -> pd.DataFrame:
    """Return the verdicts of a run, none if the studies beyond the paper were not run."""
    path = results / "claims.parquet"
    if results.name == BEYOND and not path.exists():
        return pd.DataFrame(columns=list(table.COLUMNS))
    return tables.read(path, table.COLUMNS).rows


def _counts(rows: pd.DataFrame) -> dict[Verdict, int]:
    """Return how many claims have each verdict, best first."""
    given = list(rows.drop_duplicates("claim")["claim_verdict"])
    return {verdict: given.count(verdict) for verdict in reversed(ORDER)}


def _claims(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the claims for the templates: weakest and all cells of each, and functions that
    describe them.
    """
    weakest = {claim["claim"]: claim for claim in table.weakest_cells(rows).to_dict("records")}
    return {
        "claims": weakest,
        "cells": {claim: cells.to_dict("records") for claim, cells in rows.groupby("claim")},
        "figure_of": {claim: figure_named(of["figure"]) for claim, of in weakest.items()},
        "measured": table.measured,
        "measured_or_why": table.measured_or_why,
        "threshold": table.threshold,
        "trials": table.trials,
        "title_of": title,
    }


def _sentence(scale: str, counts: Mapping[Verdict, int]) -> str:
    """Return how much of the paper was reproduced."""
    held = f"{counts[Verdict.REPRODUCED]} were reproduced and {counts[Verdict.PARTLY]} partly"
    rest = (
        f"{counts[Verdict.NOT_REPRODUCED]} were not, and {counts[Verdict.NOT_TESTABLE]} are not"
        " testable here"
    )
    return (
        f"Of {sum(counts.values())} statements of the paper, {held} in this run at {scale} scale;"
        f" {rest}."
    )


def figure_named(short: str) -> str:
    """Return the `FIGURES` name for a figure's name in a table of verdicts, such as `6` or
    `bound`.
    """
    return f"figure_{short}" if short.isdigit() else short


def _produced(
    figures: Iterable[str], results: Path, scale: str, configs: Path
) -> dict[str, Production]:
    """Return how the experiments in some figures were run, by name."""
    found: dict[str, Production] = {}
    for run, folder in ((scale, results), (f"{scale}/{BEYOND}", results / BEYOND)):
        shown = [
            FIGURES[name] for name in figures if (FIGURES[name].part == OURS) == is_beyond(run)
        ]
        if names := dict.fromkeys(name for figure in shown for name in figure.experiments):
            paper = load_settings(at_paper_scale(run), configs)
            found |= {
                name: produced(name, folder / "metrics" / f"{name}.parquet", run, paper)
                for name in names
            }
    return found


def _shown(
    name: str,
    picture: Path | None,
    captions: Path,
    verdicts: pd.DataFrame,
    experiments: Mapping[str, Production],
) -> Shown:
    """Return what the page shows of a figure; its picture may be missing."""
    about = verdicts["figure"].map(figure_named) == name
    return Shown(
        name=name,
        title=title(name),
        caption=(captions / f"{name}.rst").read_text(encoding="utf-8").strip(),
        picture=data_uri(picture) if picture else "",
        file=picture.with_suffix("").as_posix() if picture else "",
        drawn_by=read_provenance(picture)["drawn_by"] if picture else {},
        claims=list(dict.fromkeys(verdicts.loc[about, "claim"])),
        experiments=[
            experiments[each] for each in FIGURES[name].experiments if each in experiments
        ],
    )


def data_uri(picture: Path) -> str:
    """Return a PNG, with at most `COLORS` colors, as a data URI."""
    content = io.BytesIO()
    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _parts(figures: Iterable[Shown]) -> dict[str, list[Shown]]:
    """Return the figures by part of the report, without those of the summary."""
    parts: dict[str, list[Shown]] = {
        part: [] for part in sorted({FIGURES[figure.name].part for figure in figures})
    }
    for figure in figures:
        parts[FIGURES[figure.name].part].append(figure)
    return {part: shown for part, shown in parts.items() if part != SUMMARY}


def _comparison(results: Path) -> dict[str, Any]:
    """Return the tables of the comparison with the reference, and its summary sentence."""
    compared = tables.read(results / "comparison.parquet", comparison.COLUMNS)
    return {
        "summary": comparison_markdown.summary(compared.rows),
        "experiments": comparison_markdown.experiments(compared.rows),
        "differing": comparison_markdown.differing(compared.rows),
        "uncompared": comparison_markdown.uncompared(compared.origin.get("uncompared", [])),
    }


def _sensitivity(results: Path) -> dict[str, Any] | None:
    """Return how verdicts change in the sensitivity study, None if it was not run."""
    path = results / "sensitivity.parquet"
    if not path.exists():
        return None
    rows = tables.read(path, sensitivity.COLUMNS).rows
    return {
        "summary": sensitivity_markdown.summary(rows),
        "changes": sensitivity_markdown.changes(rows),
    }
