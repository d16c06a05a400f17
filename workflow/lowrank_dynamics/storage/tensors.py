"""Tensors on disk: one safetensors file with a note on the origin of its content."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.seal import SEAL, require_intact, sealing

Origin = dict[str, str]
"""Where the content came from, by part; the key `unverified` names data that could not be checked."""


def write_tensors(tensors: Mapping[str, Tensor], origin: Origin, path: Path) -> None:
    """Write tensors with their origin; an interrupted write leaves no file at `path`, and raises OSError."""
    with sealing(path) as partial:
        try:
            save_file(dict(tensors), partial, metadata={"note": json.dumps({"seal": SEAL, "origin": origin})})
        except SafetensorError as error:
            raise OSError(0, str(error), str(path)) from error


def read_tensors(path: Path, needed: Collection[str] = ()) -> tuple[dict[str, Tensor], Origin]:
    """Return tensors by name and their origin. Raises UserError if the file is unreadable or lacks a `needed` one."""
    with _opened(path) as file:
        tensors, origin = {name: file.get_tensor(name) for name in file.keys()}, _origin(file)  # noqa: SIM118
    if lacking := [name for name in needed if name not in tensors]:
        raise UserError(f"{path} has no {lacking[0]}, only {', '.join(sorted(tensors))}; name another file")
    return tensors, origin


def read_origin(path: Path) -> Origin:
    """Return where the content of a file came from. Raises UserError if it cannot be read."""
    with _opened(path) as file:
        return _origin(file)


def _origin(file: Any) -> Origin:
    """Return the origin in the file's one note; several would be in a varying order."""
    return json.loads(file.metadata()["note"])["origin"]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file. Raises UserError if it, or what is read from it, is invalid."""
    try:
        require_intact(path)
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); if a run wrote it, delete it and run again") from error
