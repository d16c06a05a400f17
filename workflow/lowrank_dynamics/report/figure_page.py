"""The page of one figure: the picture, what to look for, the verdicts, what the scale reduced, what produced it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lowrank_dynamics.analysis.table import measured_or_why, threshold, weakest_cells
from lowrank_dynamics.config.diff import differences
from lowrank_dynamics.config.registries import FIGURES, title
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.report.rendering import render
from lowrank_dynamics.storage.provenance import concise

SEPARATE = (
    "cells",
    "settings",
    "settings_sha256",
    "data",
    "scale",
    "variant",
    "started",
    "seconds",
    "megabytes",
)
"""What a page does not repeat in its list of what produced a figure."""


def write_figure_page(
    name: str,
    scale: str,
    *,
    picture: Path,
    caption: str,
    verdicts: pd.DataFrame,
    origins: Sequence[Mapping[str, Any]],
    settings: Settings,
    paper: Settings,
    path: Path,
) -> None:
    """Write the page of the figure called `name` to `path`.

    `picture` is its PNG, `caption` what to look for, `verdicts` the table of all claims; `origins` holds the provenance
    of the metrics of each of its experiments, in their order; `settings` are those of
    the run, `paper` those at paper scale.
    """
    experiments = FIGURES[name].experiments
    render(
        "figure_page.html.j2",
        path,
        title=title(name),
        scale=scale,
        picture=base64.b64encode(picture.read_bytes()).decode(),
        caption=caption.strip(),
        claims=[_claim(cell) for _, cell in weakest_cells(_about(verdicts, name)).iterrows()],
        reductions={each: differences(settings.experiment(each), paper.experiment(each)) for each in experiments},
        experiments=[_experiment(name, origin) for name, origin in zip(experiments, origins, strict=True)],
    )


def _about(verdicts: pd.DataFrame, name: str) -> pd.DataFrame:
    label = name.removeprefix("figure_")
    return verdicts[[label in figures.split(", ") for figures in verdicts["figures"]]]


def _claim(cell: pd.Series) -> dict[str, str]:
    return {
        "statement": cell["statement"],
        "cell": cell["cell"],
        "measured": measured_or_why(cell),
        "threshold": threshold(cell),
        "verdict": cell["claim_verdict"],
    }


def _experiment(name: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page says of what produced an experiment's metrics."""
    cells = origin["cells"]
    shared = concise(origin)
    first = next(iter(cells.values()))
    return {
        "name": name,
        "jobs": [
            {"cell": cell, **{key: own.get(key) for key in ("started", "seconds", "megabytes")}}
            for cell, own in cells.items()
        ],
        "seconds": sum(own.get("seconds", 0) for own in cells.values()),
        "data": first["data"],
        "shared": {key: value for key, value in shared.items() if key not in SEPARATE},
        "settings": yaml.safe_dump(_settings(cells), sort_keys=False, allow_unicode=True),
    }


def _settings(cells: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return the settings of an experiment's cells, said once for each variant."""
    by_variant = {own["variant"]: own["settings"] for own in cells.values()}
    return next(iter(by_variant.values())) if len(by_variant) == 1 else by_variant
