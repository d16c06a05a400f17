"""The modules of this package that an entry module imports: what numbers depend on besides
settings.

Snakemake sees no imports, so the digest of these files is a parameter of its rules, and a
checkpoint is tied to it. The content alone counts: sources may bear any time, such as one in the
future, which as inputs would make every result old.
"""

import ast
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name
LEFT_OUT = (
    NAME,
    f"{NAME}.version",
    f"{NAME}.config.cards",
    f"{NAME}.config.data",
    f"{NAME}.config.figures",
    f"{NAME}.config.registries",
)
"""A new version or GPU invalidates no result, and a job depends only on its own registry entries,
which its rule names.
"""


def sources(*entries: str) -> list[str]:
    """Return the files of some modules, such as `training.jobs`, and of every module that they
    import, sorted.

    Imports count anywhere, at the top of a module or in a function, except those of `LEFT_OUT`.
    Paths are relative to the working directory. Raises ModuleNotFoundError for an entry that is not
    a module.
    """
    pending = []
    for entry in entries:
        file = _file(f"{NAME}.{entry}")
        if file is None:
            raise ModuleNotFoundError(f"{NAME} has no module {entry}")
        pending.append(file)
    files: set[Path] = set()
    while pending:
        file = pending.pop()
        if file not in files:
            files.add(file)
            pending += _imported(file)
    return sorted(map(os.path.relpath, files))


def code_sha256(*entries: str) -> str:
    """Return the sha256 of the files that `sources` lists."""
    return contents_sha256(sources(*entries))


def contents_sha256(files: Iterable[str | os.PathLike[str]]) -> str:
    """Return the sha256 of what is in some files, in this order; their names and times do not
    matter.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


@cache
def _imported(file: Path) -> list[Path]:
    """Return the files of this package that a file imports: modules, and the rooms they are in."""
    files = []
    for name in _names(file):
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            place = None if module in LEFT_OUT else _file(module)
            if place is not None:
                files.append(place)
    return files


def _names(file: Path) -> list[str]:
    """Return the names that a file imports from this package: modules and their attributes."""
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith(f"{NAME}.")]


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of this package, None if there is no such module."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None
