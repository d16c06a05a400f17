"""What produced a file: settings, data, code, libraries, machine. Stored in the metadata of every Parquet file."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lowrank_dynamics import __version__
from lowrank_dynamics.config import Settings

LIBRARIES = ("torch", "numpy", "pyarrow")


def provenance(
    settings: Settings, scale: str, experiment: str, variant: str, *, data_origin: dict[str, str], threads: int
) -> dict[str, Any]:
    """Return, ready for JSON, what the numbers of an experiment's cell depend on."""
    return {
        "scale": scale,
        "variant": variant,
        "settings": settings.of_variant(experiment, variant),
        "settings_sha256": settings.digest(experiment, variant),
        "data": data_origin,
        "code": code_version(),
        "libraries": {library: version(library) for library in LIBRARIES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {threads} thread(s)",
    }


def code_version() -> str:
    """Return the package's version and, where there is a git repository, the commit, with `-dirty` if files differ."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} at {commit.stdout.strip()}"
