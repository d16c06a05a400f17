"""The page of one figure: the picture, what to look for, the verdicts, what the run reduced, what produced it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lowrank_dynamics.analysis.table import COLUMNS, measured_or_why, threshold, weakest_cells
from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.registries import FIGURES, title
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.report.rendering import render
from lowrank_dynamics.storage import metrics as stored
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import concise
from lowrank_dynamics.storage.tables import read

SHARED = ("code", "libraries", "python", "machine")
"""What a page says of the provenance of an experiment's cells, where they have it in common."""


def write_figure_page(
    name: str,
    scale: str,
    configs: Path,
    path: Path,
    *,
    metrics: Sequence[Path],
    picture: Path,
    claims: Path,
    caption: Path,
) -> None:
    """Write the page of the figure called `name` to `path`.

    The other paths are those of the settings' folder, of the metrics of each of the figure's experiments in their
    order, of the figure as PNG, of the table of verdicts, and of the text that says what to look for.
    """
    paper, files = load_settings("paper", configs), dict(zip(FIGURES[name].experiments, metrics, strict=True))
    runs = {each: stored.read(file, each, scale) for each, file in files.items()}
    verdicts = read(claims, COLUMNS).rows
    render(
        "figure_page.html.j2",
        path,
        title=title(name),
        scale=scale,
        picture=base64.b64encode(picture.read_bytes()).decode(),
        caption=caption.read_text(encoding="utf-8").strip(),
        claims=weakest_cells(verdicts[verdicts["figure"] == name.removeprefix("figure_")]).to_dict("records"),
        measured_or_why=measured_or_why,
        threshold=threshold,
        reductions={each: reductions(run, each, paper) for each, run in runs.items()},
        experiments=[_experiment(each, run) for each, run in runs.items()],
    )


def reductions(run: Metrics, name: str, paper: Settings) -> list[Difference]:
    """Return how the settings of a run, by its provenance, and its cells differ from those of the paper's experiment.

    A key in which not all variants differ alike is told for each that does, as `variants.<variant>.<key>`.
    """
    cells = []
    for column in Cell._fields:
        there, present = dict.fromkeys(getattr(cell, column) for cell in paper.cells(name)), run.values(column)
        if present != set(there):
            here = [*(value for value in there if value in present), *sorted(present - set(there))]
            cells.append(Difference(f"{column}s", here, list(there)))
    known = {each: own for each, own in run.variants.items() if each in paper.experiment(name).variants}
    by_variant = {each: differences(own.settings, paper.of_variant(name, each)) for each, own in known.items()}
    everywhere = [
        each for each in next(iter(by_variant.values()), []) if all(each in own for own in by_variant.values())
    ]
    somewhere = [
        each._replace(key=f"variants.{variant}.{each.key}")
        for variant, own in by_variant.items()
        for each in own
        if each not in everywhere
    ]
    return [*cells, *everywhere, *somewhere]


def _experiment(name: str, run: Metrics) -> dict[str, Any]:
    """Return what a page says of what produced an experiment's metrics."""
    cells, common = run.provenance["cells"], concise(run.provenance)
    by_variant = {cell["variant"]: cell["settings"] for cell in cells.values()}
    first, *others = by_variant.values()
    return {
        "name": name,
        "trials": run.trials,
        "cells": cells,
        "data": next(iter(cells.values()))["data"],
        "shared": {key: common[key] for key in SHARED if key in common},
        "settings": yaml.safe_dump(by_variant if others else first, sort_keys=False, allow_unicode=True),
    }
