"""The page of one figure: the picture, what to look for, the verdicts, what the scale reduced, what produced it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lowrank_dynamics.analysis.table import COLUMNS, measured_or_why, threshold, weakest_cells
from lowrank_dynamics.config.diff import differences
from lowrank_dynamics.config.files import at_paper_scale, load_settings
from lowrank_dynamics.config.registries import FIGURES, title
from lowrank_dynamics.report.rendering import render
from lowrank_dynamics.storage.embedded import read_provenance
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
    settings, paper = load_settings(scale, configs), load_settings(at_paper_scale(scale), configs)
    experiments = FIGURES[name].experiments
    verdicts = read(claims, COLUMNS).rows
    shown = verdicts["figures"].str.split(", ").map(lambda figures: name.removeprefix("figure_") in figures)
    render(
        "figure_page.html.j2",
        path,
        title=title(name),
        scale=scale,
        picture=base64.b64encode(picture.read_bytes()).decode(),
        caption=caption.read_text(encoding="utf-8").strip(),
        claims=weakest_cells(verdicts[shown]).to_dict("records"),
        measured_or_why=measured_or_why,
        threshold=threshold,
        reductions={each: differences(settings.experiment(each), paper.experiment(each)) for each in experiments},
        experiments=[_experiment(each, source) for each, source in zip(experiments, metrics, strict=True)],
    )


def _experiment(name: str, metrics: Path) -> dict[str, Any]:
    """Return what a page says of what produced an experiment's metrics."""
    origin = read_provenance(metrics)
    cells, common = origin["cells"], concise(origin)
    by_variant = {cell["variant"]: cell["settings"] for cell in cells.values()}
    first, *others = by_variant.values()
    return {
        "name": name,
        "cells": cells,
        "data": next(iter(cells.values()))["data"],
        "shared": {key: common[key] for key in SHARED if key in common},
        "settings": yaml.safe_dump(by_variant if others else first, sort_keys=False, allow_unicode=True),
    }
