"""Files that hold a digest of all their other bytes, so that an altered one is never taken for a
result.

They are read and written plainly: not every file system lets a file be mapped into memory.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lowrank_dynamics.storage.atomic import replacing

_MARK = b"sealed with sha256 "
_LENGTH = 64
SEAL = _MARK.decode() + "0" * _LENGTH
"""What a writer puts into a file's metadata; `sealing` replaces the zeros once the file is
complete.
"""
_AT_ONCE = 2**24
"""Bytes that are read at a time."""


@contextmanager
def sealing(path: Path) -> Iterator[Path]:
    """Act as `replacing`, and write the file's digest, taken with zeros in its place, into its one
    `SEAL`.
    """
    with replacing(path) as partial:
        yield partial
        start = _start(partial)
        assert start is not None, "every writer puts the mark into its metadata"
        digest = _digest(partial, start)
        with partial.open("r+b") as file:
            file.seek(start)
            file.write(digest)


def require_intact(path: Path) -> None:
    """Raise ValueError if a file's seal is missing or does not match its bytes; OSError if it
    cannot be read.
    """
    start = _start(path)
    if start is None:
        raise ValueError("it has no digest, or is not whole")
    with path.open("rb") as file:
        file.seek(start)
        stored = file.read(_LENGTH)
    if stored != _digest(path, start):
        raise ValueError("its contents changed after it was written")


def _start(path: Path) -> int | None:
    """Return where in a file the digest begins, behind the first mark; None if there is none."""
    read, last = 0, b""
    with path.open("rb") as file:
        for chunk in _chunks(file):
            place = (last + chunk).find(_MARK)
            if place >= 0:
                return read - len(last) + place + len(_MARK)
            read += len(chunk)
            last = chunk[-len(_MARK) :]
    return None


def _digest(path: Path, start: int) -> bytes:
    """Return a file's sha256, in hexadecimal, with zeros in place of the digest that begins at
    `start`.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in _chunks(file, start):
            digest.update(chunk)
        digest.update(b"0" * _LENGTH)
        file.seek(start + _LENGTH)
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest().encode()


def _chunks(file: IO[bytes], left: float = math.inf) -> Iterator[bytes]:
    """Yield what is left of a file, or so many bytes of it, a few at a time."""
    while left and (chunk := file.read(int(min(left, _AT_ONCE)))):
        yield chunk
        left -= len(chunk)
