"""Tensors on disk: one safetensors file with a note on the origin of its content."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.seal import SEAL, intact, sealing

DataOrigin = dict[str, str]
"""Where the content came from, by part; the key `unverified` names data that could not be
checked.
"""


def write_tensors(tensors: Mapping[str, Tensor], origin: DataOrigin, path: Path) -> None:
    """Write tensors with their origin; an interrupted write leaves no file at `path`, and raises
    OSError.
    """
    with sealing(path) as partial:
        note = json.dumps({"seal": SEAL, "origin": origin})
        try:
            save_file(dict(tensors), partial, metadata={"note": note})
        except SafetensorError as error:
            raise OSError(0, str(error), str(path)) from error


def read_tensors(path: Path, needed: Collection[str] = ()) -> tuple[dict[str, Tensor], DataOrigin]:
    """Return tensors by name and their origin. Raises UserError if the file is unreadable or lacks
    a `needed` one.
    """
    with _reading(path):
        content = intact(path)
        tensors, origin = load(content), _origin(content)
    if lacking := [name for name in needed if name not in tensors]:
        raise UserError(
            f"{path} has no {lacking[0]}, only {', '.join(sorted(tensors))}; name another file"
        )
    return tensors, origin


def read_origin(path: Path) -> DataOrigin:
    """Return where the content of a file came from. Raises UserError if it cannot be read."""
    with _reading(path):
        return _origin(intact(path))


def _origin(content: bytes) -> DataOrigin:
    """Return the origin in a file's one note; several would be in a varying order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    return json.loads(header["__metadata__"]["note"])["origin"]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise UserError for any way in which a file can be unreadable."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); if a run wrote it, delete it and run again"
        ) from error
