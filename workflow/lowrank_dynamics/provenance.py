"""What produced a file: settings, data, code, libraries, machine; stored in every Parquet file and every figure."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lowrank_dynamics import __version__
from lowrank_dynamics.config import Settings

COMPUTING = ("torch", "numpy", "pyarrow")
DRAWING = ("matplotlib", "seaborn", "pandas")
PACKAGE = Path(__file__).parent


def provenance(
    settings: Settings,
    scale: str,
    experiment: str,
    variant: str,
    *,
    data_origin: dict[str, str],
    device: str,
    megabytes: Mapping[str, int],
    threads: int,
    started: datetime,
) -> dict[str, Any]:
    """Return, ready for JSON, what the numbers of an experiment's cell depend on, and the time and memory it took."""
    return {
        "scale": scale,
        "variant": variant,
        "settings": settings.of_variant(experiment, variant),
        "settings_sha256": settings.digest(experiment, variant),
        "data": data_origin,
        **_program(),
        "machine": f"{platform.system()} {platform.machine()}, {device}, {threads} thread(s)",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "megabytes": dict(megabytes),
    }


def of_watch(experiment: str, variant: str, started: datetime) -> dict[str, Any]:
    """Return, ready for JSON, what is known of measurements of a model of one's own: code, libraries, when."""
    when = {"started": started.isoformat(timespec="seconds")}
    return {"watched": experiment, "variant": variant, "settings": {}, "settings_sha256": "", **_program(), **when}


def of_verdicts(scale: str, claims: Path, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return, ready for JSON, what a table of verdicts depends on: the claims' file, and the settings of the metrics.

    `metrics` holds the provenance of each experiment's.
    """
    return {"scale": scale, "claims_sha256": _sha256(claims), **_of_metrics(metrics), "code": code_version()}


def of_comparison(scale: str, reference: Path, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return, ready for JSON, what a comparison depends on: the settings of the metrics, the files of the reference.

    `metrics` holds the provenance of each experiment's.
    """
    files = {str(path.relative_to(reference)): _sha256(path) for path in sorted(reference.glob("*/*.parquet"))}
    return {"scale": scale, "reference_sha256": files, **_of_metrics(metrics), "code": code_version()}


def _of_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the digest of the settings of each cell of experiments, by name."""
    digests = {
        experiment: {name: cell["settings_sha256"] for name, cell in provenance["cells"].items()}
        for experiment, provenance in metrics.items()
    }
    return {"settings_sha256": digests}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_figure(name: str, metrics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return, ready for JSON, what a figure depends on; no time and memory, so that equal figures stay equal bytes.

    `metrics` holds the provenance of each file it is drawn from.
    """
    drawing = {"code": code_version(), "libraries": _versions(DRAWING)}
    return {"figure": name, "drawn_by": drawing, "drawn_from": [_untimed(origin) for origin in metrics]}


def concise(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance with what all its cells have in common said once, and under `cells` what is each one's."""
    cells = origin.get("cells")
    if not cells:
        return dict(origin)
    first, *others = cells.values()
    common = {key: value for key, value in first.items() if all(cell.get(key) == value for cell in others)}
    own = {name: {key: cell[key] for key in cell if key not in common} for name, cell in cells.items()}
    return {**common, "cells": own}


def _program() -> dict[str, Any]:
    """Return the code and the libraries that compute."""
    return {"code": code_version(), "libraries": _versions(COMPUTING), "python": platform.python_version()}


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    return {library: version(library) for library in libraries}


def _untimed(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the concise provenance without what differs from run to run: start, duration, memory."""
    taken = {"started", "seconds", "megabytes"}
    kept = {name: {key: value for key, value in cell.items() if key not in taken} for name, cell in _cells(origin)}
    return concise({"cells": kept}) if "cells" in origin else kept[""]


def _cells(origin: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return origin.get("cells", {"": origin}).items()


def code_version() -> str:
    """Return the package's version and, where there is a git repository, the commit, with `-dirty` if files differ."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} at {commit}{'-dirty' if changes else ''}"


def _git(*arguments: str) -> str:
    """Return what git says; it takes no lock, of which a job that is cut off would leave the file behind."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True).stdout.strip()
