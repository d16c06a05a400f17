"""What produced a file: settings, data, code, libraries, machine; stored in every Parquet file and
every figure.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lowrank_dynamics.config.cell import CellSettings
from lowrank_dynamics.version import __version__

COMPUTING = ("torch", "numpy", "pyarrow")
DRAWING = ("matplotlib", "seaborn", "pandas")
PACKAGE = Path(__file__).parents[1]
DIRTY = "-dirty"
"""The version suffix of code that differs from its commit."""
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)
"""Git's variables that name a repository."""


class Origin(BaseModel):
    """What the numbers of one cell depend on, and the time and memory it took.

    Measurements of a user's own model (`watched`) have no scale, settings or data. `thinned_to` is
    set in the reference: the number of steps at which it keeps a quantity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: str = ""
    watched: str = ""
    variant: str
    settings: CellSettings | None = None
    settings_sha256: str = ""
    data: dict[str, str] = {}
    code: str
    libraries: dict[str, str]
    python: str
    machine: str = ""
    started: str
    seconds: float = 0.0  # of a job that was interrupted, those since it last resumed
    megabytes: dict[str, int] = {}
    thinned_to: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is known, ready for JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


def cell_origin(
    settings: CellSettings,
    scale: str,
    variant: str,
    *,
    data: dict[str, str],
    device: str,
    megabytes: Mapping[str, int],
    threads: int,
    started: datetime,
) -> Origin:
    """Return the origin of the numbers of a cell computed since `started`."""
    return Origin(
        scale=scale,
        variant=variant,
        settings=settings,
        settings_sha256=settings.digest,
        data=data,
        **_program(),
        machine=(
            f"{platform.system()} {platform.machine()}, {processor()}, {device}, {threads}"
            " thread(s)"
        ),
        started=started.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 1),
        megabytes=dict(megabytes),
    )


def watch_origin(experiment: str, variant: str, started: datetime) -> Origin:
    """Return the origin of measurements of a user's own model."""
    return Origin(
        watched=experiment,
        variant=variant,
        **_program(),
        started=started.isoformat(timespec="seconds"),
    )


def verdicts_origin(
    scale: str, claims: Path, metrics: Mapping[str, Mapping[str, Origin]]
) -> dict[str, Any]:
    """Return what a table of verdicts depends on: the claims, and the settings of each cell of each
    experiment.
    """
    return {
        "scale": scale,
        "claims_sha256": sha256(claims),
        **_digests(metrics),
        "code": code_version(),
    }


def comparison_origin(
    scale: str, reference: Path, metrics: Mapping[str, Mapping[str, Origin]]
) -> dict[str, Any]:
    """Return what a comparison depends on: the reference, and the settings of each cell of each
    experiment.
    """
    files = {
        str(path.relative_to(reference)): sha256(path)
        for path in sorted(reference.rglob("*.parquet"))
    }
    return {"scale": scale, "reference_sha256": files, **_digests(metrics), "code": code_version()}


def figure_origin(name: str, sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a figure depends on, from the provenance of each file it is drawn from.

    Time and memory are omitted, so that equal figures have equal bytes.
    """
    drawing = {
        "code": code_version(),
        "libraries": {library: version(library) for library in DRAWING},
    }
    return {
        "figure": name,
        "drawn_by": drawing,
        "drawn_from": [concise(_untimed(source)) for source in sources],
    }


def concise(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance that states what all its cells share once, and the rest under `cells`."""
    if "cells" not in source:
        return dict(source)
    first, *others = source["cells"].values()
    common = {
        key: value for key, value in first.items() if all(cell.get(key) == value for cell in others)
    }
    own = {
        name: {key: cell[key] for key in cell if key not in common}
        for name, cell in source["cells"].items()
    }
    return {**common, "cells": own}


def code_version() -> str:
    """Return the package's version and, in the project's own repository, the commit; `-dirty` if
    the package differs.

    Files elsewhere, such as pages or a reference being kept, change no number. A repository that
    merely contains the project is somebody else's.
    """
    try:
        top = git(PACKAGE, "rev-parse", "--show-toplevel").decode().strip()
        if Path(top).resolve() != PACKAGE.parents[1].resolve():
            return __version__
        commit = git(PACKAGE, "rev-parse", "HEAD").decode().strip()
        changes = git(PACKAGE, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} at {commit}{DIRTY if changes else ''}"


def unreadable_repository() -> str:
    """Return why git does not read the project's repository, where there is one; empty
    otherwise.
    """
    if not (PACKAGE.parents[1] / ".git").exists():
        return ""
    try:
        git(PACKAGE, "rev-parse", "--show-toplevel")
    except OSError:
        return "git is not installed"
    except subprocess.CalledProcessError as error:
        return error.stderr.decode().partition("\n")[0].removeprefix("fatal: ")
    return ""


def processor() -> str:
    """Return the CPU model, or its kind if the system names none; numbers differ by model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def git(folder: Path, *arguments: str) -> bytes:
    """Return git's output in a folder, with times in UTC; it takes no lock, which a killed job
    would leave behind.

    Variables by which a hook or a script names another repository do not count. Raises OSError if
    there is no git, CalledProcessError if it fails.
    """
    command = ["git", "--no-optional-locks", *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return subprocess.run(
        command, cwd=folder, env=kept | {"TZ": "UTC"}, capture_output=True, check=True
    ).stdout


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _program() -> dict[str, Any]:
    libraries = {library: version(library) for library in COMPUTING}
    return {"code": code_version(), "libraries": libraries, "python": platform.python_version()}


def _digests(metrics: Mapping[str, Mapping[str, Origin]]) -> dict[str, Any]:
    digests = {
        name: {cell: own.settings_sha256 for cell, own in cells.items()}
        for name, cells in metrics.items()
    }
    return {"settings_sha256": digests}


def _untimed(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance without what differs from run to run: start, duration, memory."""
    taken = {"started", "seconds", "megabytes"}
    if "cells" not in source:
        return {key: value for key, value in source.items() if key not in taken}
    return {"cells": {name: _untimed(cell) for name, cell in source["cells"].items()}}
