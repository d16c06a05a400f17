"""What produced a file: settings, data, code, libraries, machine; stored in every Parquet file and
every figure.
"""

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.storage.repository import code_version

if TYPE_CHECKING:
    from lowrank_dynamics.storage.metrics import Metrics

COMPUTING = ("torch", "numpy", "pyarrow")
DRAWING = ("matplotlib", "seaborn", "pandas")
TIMES = ("started", "seconds", "megabytes")
"""What differs from run to run."""


class CellOrigin(BaseModel):
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


def most_memory(origins: Iterable[CellOrigin]) -> dict[str, int]:
    """Return the most megabytes that any of the cells took, by kind of memory."""
    most: dict[str, int] = {}
    for origin in origins:
        for kind, megabytes in origin.megabytes.items():
            most[kind] = max(megabytes, most.get(kind, 0))
    return dict(sorted(most.items()))


def program() -> dict[str, Any]:
    """Return the fields of a `CellOrigin` on this program: its code, libraries and Python."""
    return {
        "code": code_version(),
        "libraries": _versions(COMPUTING),
        "python": platform.python_version(),
    }


def machine(device: str, threads: int) -> str:
    """Return what numbers are computed on: this machine, a device of it, and threads."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {processor()}, {device}, {threads} thread(s)"


def table_origin(scale: str, metrics: Mapping[str, "Metrics"], **inputs: Any) -> dict[str, Any]:
    """Return what a table depends on: the digests of its `inputs`, those of the settings of each
    cell of each experiment, and unverified data.
    """
    digests = {}
    unverified: set[str] = set()
    for name, experiment in metrics.items():
        cells = experiment.cells.items()
        digests[name] = {cell: origin.settings_sha256 for cell, origin in cells}
        unverified |= experiment.unverified
    return {
        "scale": scale,
        **inputs,
        "settings_sha256": digests,
        "code": code_version(),
        "unverified": sorted(unverified),
    }


def figure_origin(name: str, sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a figure depends on, from the provenance of each file it is drawn from."""
    return {
        "figure": name,
        "drawn_by": {"code": code_version(), "libraries": _versions(DRAWING)},
        "drawn_from": drawn_from(sources),
    }


def drawn_from(sources: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a figure says of the files that it is drawn from, by their provenance: without
    time and memory, so that equal figures have equal bytes.
    """
    return [concise(_untimed(source)) for source in sources]


def concise(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance that states what all its cells share once, and the rest under `cells`."""
    if "cells" not in source:
        return dict(source)
    first, *others = source["cells"].values()
    common = dict(first)
    for cell in others:
        for key in list(common):
            if cell.get(key) != common[key]:
                del common[key]
    cells = {}
    for name, cell in source["cells"].items():
        cells[name] = {key: value for key, value in cell.items() if key not in common}
    return {**common, "cells": cells}


def processor() -> str:
    """Return the CPU model, or its kind if the system names none; numbers differ by model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    return {library: version(library) for library in libraries}


def _untimed(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance without what differs from run to run: start, duration, memory."""
    if "cells" in source:
        return {"cells": {name: _untimed(cell) for name, cell in source["cells"].items()}}
    return {key: value for key, value in source.items() if key not in TIMES}
