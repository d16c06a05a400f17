"""What produced a file: settings, data, code, libraries, machine. Stored in the metadata of every Parquet file."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lowrank_dynamics import __version__
from lowrank_dynamics.config import Settings

LIBRARIES = ("torch", "numpy", "pyarrow")


def provenance(
    settings: Settings,
    scale: str,
    experiment: str,
    variant: str,
    *,
    data_origin: dict[str, str],
    device: str,
    threads: int,
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
        "machine": f"{platform.system()} {platform.machine()}, {device}, {threads} thread(s)",
    }


def of_verdicts(scale: str, claims: Path, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return, ready for JSON, what a table of verdicts depends on: the claims' file, and the settings of the metrics.

    `metrics` holds the provenance of each experiment's.
    """
    digests = {
        experiment: {name: cell["settings_sha256"] for name, cell in provenance["cells"].items()}
        for experiment, provenance in metrics.items()
    }
    claims_sha256 = hashlib.sha256(claims.read_bytes()).hexdigest()
    return {"scale": scale, "claims_sha256": claims_sha256, "settings_sha256": digests, "code": code_version()}


def code_version() -> str:
    """Return the package's version and, where there is a git repository, the commit, with `-dirty` if files differ."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} at {commit.stdout.strip()}"
