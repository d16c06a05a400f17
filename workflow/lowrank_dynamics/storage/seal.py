"""A file that holds the digest of all its other bytes, so that an altered one is never taken for a result."""

import hashlib
import mmap
from pathlib import Path

from lowrank_dynamics.errors import UserError

_MARK = b"sealed with sha256 "
_LENGTH = 64
SEAL = _MARK.decode() + "0" * _LENGTH
"""What a writer puts into a file's metadata; `seal` replaces the zeros, once the file is complete."""


def seal(path: Path) -> None:
    """Put the digest of a file, taken with zeros in its place, into the one `SEAL` in it."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        start = content.find(_MARK) + len(_MARK)
        content[start : start + _LENGTH] = _digest(content, start)


def require_intact(path: Path) -> None:
    """Raise UserError if a file has no seal, or another one than its bytes give; OSError if it cannot be read."""
    with path.open("rb") as file:
        if path.stat().st_size < len(SEAL):
            raise UserError(f"{path} is truncated; delete it and run again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            mark = content.find(_MARK)
            start = mark + len(_MARK)
            if mark < 0 or content[start : start + _LENGTH] != _digest(content, start):
                raise UserError(f"{path} was altered, or was not written by this version; delete it and run again")


def _digest(content: mmap.mmap, start: int) -> bytes:
    """Return the sha256 of a file, in hexadecimal, with zeros in place of the digest that begins at `start`."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(b"0" * _LENGTH)
        digest.update(view[start + _LENGTH :])
    return digest.hexdigest().encode()
