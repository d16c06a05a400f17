"""Files that hold a digest of all their other bytes, so that an altered one is never taken for a result."""

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowrank_dynamics.storage.atomic import replacing

_MARK = b"sealed with sha256 "
_LENGTH = 64
SEAL = _MARK.decode() + "0" * _LENGTH
"""What a writer puts into a file's metadata; `sealing` replaces the zeros once the file is complete."""


@contextmanager
def sealing(path: Path) -> Iterator[Path]:
    """Act as `replacing`, and write the file's digest, taken with zeros in its place, into its one `SEAL`."""
    with replacing(path) as partial:
        yield partial
        with partial.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            start = content.find(_MARK) + len(_MARK)
            content[start : start + _LENGTH] = _digest(content, start)


def require_intact(path: Path) -> None:
    """Raise ValueError if a file's seal is missing or does not match its bytes; OSError if it cannot be read."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        mark = content.find(_MARK)
        start = mark + len(_MARK)
        if mark < 0:
            raise ValueError("it has no digest, or is not whole")
        if content[start : start + _LENGTH] != _digest(content, start):
            raise ValueError("it was altered: its digest is another")


def _digest(content: mmap.mmap, start: int) -> bytes:
    """Return a file's sha256, in hexadecimal, with zeros in place of the digest that begins at `start`."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(b"0" * _LENGTH)
        digest.update(view[start + _LENGTH :])
    return digest.hexdigest().encode()
