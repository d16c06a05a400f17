"""The folder `configs/`: its files, and which of them are scales."""

import os
import re
from pathlib import Path

from lowrank_dynamics.errors import UserError

_CHECKOUT = Path(__file__).parents[3] / "configs"
CONFIGS = Path(os.path.relpath(_CHECKOUT)) if _CHECKOUT.is_dir() else Path("configs")
"""The folder: in the project that this package is part of, or else in the working directory."""
PAPER = "paper.yaml"
BEYOND_FILE = "studies/beyond.yaml"
SENSITIVITY_FILE = "studies/sensitivity.yaml"
CLAIMS = "statements/claims.yaml"
FINDINGS = "statements/findings.yaml"
REFERENCE = Path("results/reference")
"""The folder of the runs kept for others to compare with."""
SCALE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = ("data", "reference")
"""Folder names in `results` that no scale may have."""


def scales(folder: Path = CONFIGS) -> list[str]:
    """Return the names of all scales: each is a settings file in the folder, the paper's last.

    Raises UserError for a file whose name would not work as a results folder in every command
    line.
    """
    names = sorted(path.stem for path in folder.glob("[!.]*.yaml"))
    for name in names:
        if not SCALE.fullmatch(name):
            raise UserError(
                f"{folder / name}.yaml: a scale's name has letters, digits, _, - and . only; rename"
                " or remove the file"
            )
    others = [name for name in names if name not in (*RESERVED, "paper")]
    return [*others, "paper"]


def require_scale(name: str, folder: Path = CONFIGS) -> None:
    """Raise UserError, listing the scales, if there is none called `name`."""
    if name not in scales(folder):
        choices = ", ".join(scales(folder))
        raise UserError(f"there is no scale {name!r}; choose one of {choices}")
