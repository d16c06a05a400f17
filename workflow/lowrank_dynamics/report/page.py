"""The report: one self-contained page of a run, from the verdicts to the settings of each
experiment.

It shows the run's Parquet files and figures.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image, ImageSequence

from lowrank_dynamics.analysis import comparison, readable, sensitivity
from lowrank_dynamics.analysis.claims import Role
from lowrank_dynamics.analysis.table import COLUMNS, fewer_trials
from lowrank_dynamics.config.figures import (
    ANIMATION,
    FIGURES,
    OURS,
    SUMMARY,
    figures_of,
    short_title,
    title,
)
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report import explorer
from lowrank_dynamics.report.experiment_records import ExperimentRecord, experiment_record
from lowrank_dynamics.report.rendering import html
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import read_provenance

COLORS = 256
"""The most colors of a picture on the page; this makes it a third as large without a visible
change.
"""
FRAME_COLORS = 64
"""The most colors of a frame of an animation."""


class Shown(NamedTuple):
    """A figure on the page: what to look for, its claims and experiments; if it was drawn, also its
    picture as data, the frames of one that is animated, its file and what drew it.
    """

    name: str
    part: str
    title: str
    short_title: str
    caption: str
    claims: list[str]
    experiments: list[ExperimentRecord]
    picture: str = ""
    frames: Sequence[str] = ()
    file: str = ""
    drawn_by: Mapping[str, Any] = {}


def write_page(run: Run, pictures: Sequence[Path], captions: Path, path: Path) -> None:
    """Write the report of a run to `path`.

    `pictures` are the figures to show, as PNG and named as in `FIGURES`; the paper's other figures
    are reported as missing. `captions` has the texts on what to look for. The studies beyond the
    paper are included if they were run. Raises UserError for an unreadable file or a picture of
    something else; an interrupted write leaves no file.
    """
    drawn = _drawn(pictures)
    verdicts = tables.read(run.table("claims"), COLUMNS).rows
    findings = _findings(run.beyond)
    claims = _claims(verdicts) | _claims(findings)
    runs = _runs_of_experiments(drawn, run)
    measured = {}
    experiments = {}
    for name, source in runs.items():
        measured[name] = metrics.read(source.metrics(name), name, source.name)
        paper = source.at_paper_scale.settings
        experiments[name] = experiment_record(measured[name], name, paper)
    figures = {}
    for name in _shown_figures(drawn, run):
        figures[name] = _shown(name, drawn.get(name), captions, claims, experiments)
    page = html(
        "report.html.j2",
        scale=run.name,
        results=run.results.as_posix(),
        fewer_trials=fewer_trials(verdicts),
        counts=readable.verdict_counts(verdicts),
        counts_of_checks=readable.verdict_counts(verdicts, "check"),
        counts_of_findings=readable.verdict_counts(findings),
        counts_of_checks_of_findings=readable.verdict_counts(findings, "check"),
        summary=SUMMARY,
        ours=OURS,
        paper_claims=_names(verdicts, "claim"),
        checks=_names(verdicts, "check"),
        findings=_names(findings, "claim"),
        checks_of_findings=_names(findings, "check"),
        claims=claims,
        claims_caption=_caption(captions, "claims"),
        figures=figures,
        experiments=list(experiments.values()),
        curves=explorer.explorer_data(measured) if measured else "",
        points=explorer.POINTS,
        digits=explorer.DIGITS,
        compared=_comparison(run),
        varied=_sensitivity(run),
        unverified=_unverified(experiments.values()),
    )
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _drawn(pictures: Iterable[Path]) -> dict[str, Path]:
    """Return the pictures by the name of their figure. Raises UserError if one is of no figure."""
    drawn = {}
    for picture in pictures:
        if picture.stem not in FIGURES:
            raise UserError(
                f"{picture} is not a figure of a run; the figures are {', '.join(FIGURES)}"
            )
        drawn[picture.stem] = picture
    return drawn


def _shown_figures(drawn: Iterable[str], run: Run) -> list[str]:
    """Return the figures on the page, in order: those that were drawn, and all of the paper's."""
    names = set(figures_of(run.at_paper_scale.settings.experiments))
    names.update(drawn)
    return [name for name in FIGURES if name in names]


def _findings(run: Run) -> pd.DataFrame:
    """Return the verdicts on the studies beyond the paper; none if they were not run."""
    if run.table("claims").exists():
        return tables.read(run.table("claims"), COLUMNS).rows
    return pd.DataFrame(columns=list(COLUMNS))


def _claims(rows: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Return the claims of a table of verdicts by name, as text, each with the frame of its
    cells.
    """
    cells = readable.cells(rows)
    claims = {}
    for claim in readable.claims(rows).to_dict("records"):
        name = claim["claim"]
        more = {"figure_title": title(claim["figure"]), "cells": cells[name]}
        claims[name] = claim | more
    return claims


def _names(rows: pd.DataFrame, role: Role) -> list[str]:
    """Return the names of the claims, or checks, in a table of verdicts."""
    return list(rows.loc[rows["role"] == role, "claim"].unique())


def _runs_of_experiments(figures: Iterable[str], run: Run) -> dict[str, Run]:
    """Return the run of each experiment in some figures, by name: this one, or its studies beyond
    the paper.
    """
    wanted: set[str] = set()
    for figure in figures:
        wanted.update(FIGURES[figure].experiments)
    runs = {}
    for source in (run, run.beyond):
        for name in source.at_paper_scale.settings.experiments:
            if name in wanted:
                runs[name] = source
    return runs


def _shown(
    name: str,
    picture: Path | None,
    captions: Path,
    claims: Mapping[str, Mapping[Any, Any]],
    experiments: Mapping[str, ExperimentRecord],
) -> Shown:
    """Return what the page shows of a figure; its picture may be missing."""
    sources = FIGURES[name].experiments
    drawn_from = [experiments[source] for source in sources if source in experiments]
    shown = Shown(
        name=name,
        part=FIGURES[name].part,
        title=title(name),
        short_title=short_title(name),
        caption=_caption(captions, name),
        claims=[claim for claim, row in claims.items() if row["figure"] == name],
        experiments=drawn_from,
    )
    if picture is None:
        return shown
    return shown._replace(
        picture=data_uri(picture),
        frames=_frames(name, picture.with_suffix(f".{ANIMATION}")),
        file=picture.with_suffix("").as_posix(),
        drawn_by=read_provenance(picture)["drawn_by"],
    )


def _caption(captions: Path, name: str) -> str:
    return (captions / f"{name}.rst").read_text(encoding="utf-8").strip()


def _frames(name: str, animation: Path) -> list[str]:
    """Return the frames of an animated figure as data URIs; none of others, or without the file."""
    if not FIGURES[name].animated or not animation.exists():
        return []
    with Image.open(animation) as image:
        return [_encoded(frame, FRAME_COLORS) for frame in ImageSequence.Iterator(image)]


def data_uri(picture: Path) -> str:
    """Return a PNG, with at most `COLORS` colors, as a data URI."""
    with Image.open(picture) as image:
        return _encoded(image, COLORS)


def _encoded(image: Image.Image, colors: int) -> str:
    """Return an image with few colors as the data URI of a PNG."""
    content = io.BytesIO()
    reduced = image.convert("RGB").quantize(colors, dither=Image.Dither.NONE)
    reduced.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _comparison(run: Run) -> dict[str, Any]:
    """Return the tables of the comparison with the reference, and its summary."""
    compared = tables.read(run.table("comparison"), comparison.COLUMNS)
    return {
        "summary": readable.comparison_summary(compared.rows),
        "experiments": readable.experiments(compared.rows),
        "differing": readable.differing(compared.rows),
        "uncompared": readable.uncompared(compared.origin.get("uncompared", [])),
    }


def _sensitivity(run: Run) -> dict[str, Any] | None:
    """Return how verdicts change in the sensitivity study, None if it was not run."""
    path = run.table("sensitivity")
    if not path.exists():
        return None
    rows = tables.read(path, sensitivity.COLUMNS).rows
    return {"summary": readable.sensitivity_summary(rows), "changes": readable.changes(rows)}


def _unverified(experiments: Iterable[ExperimentRecord]) -> list[str]:
    """Return the names of the unverified data."""
    names = {experiment.unverified for experiment in experiments}
    return sorted(names - {""})
