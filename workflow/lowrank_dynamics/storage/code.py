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
from itertools import accumulate
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAME = PACKAGE.name
TABLES = ("version", *(f"config.{module}" for module in ("cards", "data", "figures", "registries")))
LEFT_OUT = (NAME, *(f"{NAME}.{module}" for module in TABLES))
"""A new version or GPU invalidates no result; a job depends only on its own registry entries, named
by its rule.
"""


def sources(*entries: str) -> list[str]:
    """Return the files of some modules, such as `training.run`, and of every module that they
    import, sorted.

    Imports count anywhere, at the top of a module or in a function, except those of `LEFT_OUT`.
    Paths are relative to the working directory. Raises ModuleNotFoundError for an entry that is not
    a module.
    """
    found: set[Path] = set()
    pending = [_file(f"{NAME}.{entry}") for entry in entries]
    if None in pending:
        raise ModuleNotFoundError(f"{NAME} has no module {entries[pending.index(None)]}")
    while pending:
        file = pending.pop()
        if file is not None and file not in found:
            found.add(file)
            pending += [_file(module) for module in _imports(file)]
    return sorted(os.path.relpath(file) for file in found)


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
def _imports(file: Path) -> list[str]:
    """Return the names that a file imports from this package: modules, their attributes, and their
    rooms.
    """
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = [name.split(".") for name in names if name.startswith(f"{NAME}.")]
    return [
        name for parts in own for name in accumulate(parts, "{}.{}".format) if name not in LEFT_OUT
    ]


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of this package, None if there is no such module."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
