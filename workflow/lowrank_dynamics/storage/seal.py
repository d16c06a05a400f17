"""Files that hold a digest of all their other bytes, so that an altered one is never taken for a
result.

They are read and written plainly: not every file system lets a file be mapped into memory.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowrank_dynamics.storage.atomic import replacing

_MARK = b"sealed with sha256 "
_ZEROS = b"0" * 64
SEAL = (_MARK + _ZEROS).decode()
"""What a writer puts into a file's metadata; `sealing` replaces the zeros once the file is
complete.
"""


@contextmanager
def sealing(path: Path) -> Iterator[Path]:
    """Act as `replacing`, and write the file's digest, taken with zeros in its place, into its one
    `SEAL`.
    """
    with replacing(path) as partial:
        yield partial
        content = partial.read_bytes()
        start = _start(content)
        with partial.open("r+b") as file:
            file.seek(start)
            file.write(_digest(content, start))


def intact(path: Path) -> bytes:
    """Return the content of a sealed file.

    Raises ValueError if its seal is missing or does not match its bytes; OSError if it cannot be
    read.
    """
    content = path.read_bytes()
    start = _start(content)
    stored = content[start : start + len(_ZEROS)]
    if stored != _digest(content, start):
        raise ValueError("its contents changed after it was written")
    return content


def _start(content: bytes) -> int:
    """Return where the digest begins, after the first mark. Raises ValueError if there is none."""
    mark = content.find(_MARK)
    if mark < 0:
        raise ValueError("it has no digest, or is not whole")
    return mark + len(_MARK)


def _digest(content: bytes, start: int) -> bytes:
    """Return the sha256, in hexadecimal, with zeros in place of the digest that begins at
    `start`.
    """
    view = memoryview(content)  # slices of it are no copies
    digest = hashlib.sha256(view[:start])
    digest.update(_ZEROS)
    digest.update(view[start + len(_ZEROS) :])
    return digest.hexdigest().encode()
