"""Which modules of this package an entry module imports: what a job's numbers depend on besides its settings.

Snakemake sees no imports, so rules take these files as inputs, and a checkpoint is of the code that they hold.
"""

import ast
import os
from functools import cache
from itertools import accumulate
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAME = PACKAGE.name
TABLES = ("version", *(f"config.{module}" for module in ("cards", "data", "figures", "registries")))
LEFT_OUT = (NAME, *(f"{NAME}.{module}" for module in TABLES))
"""A new version or GPU makes no result again; of registries a job depends on its own entries, which its rule names."""


def sources(*entries: str) -> list[str]:
    """Return the files of some modules, such as `training.run`, and of every module that they import, sorted.

    Imports count wherever they stand, at the top of a module or in a function, except for those of `LEFT_OUT`. Paths
    are relative to the working directory. Raises ModuleNotFoundError for an entry that is no module.
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


@cache
def _imports(file: Path) -> list[str]:
    """Return the names of what a file imports of this package: modules, their attributes, and the rooms they lie in."""
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = [name.split(".") for name in names if name.startswith(f"{NAME}.")]
    return [name for parts in own for name in accumulate(parts, "{}.{}".format) if name not in LEFT_OUT]


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of this package, None if there is no such module."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
