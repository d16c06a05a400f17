"""Where a data file's bytes come from: an ordered list of places, and a digest of the content that decides."""

import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import pooch

from lowrank_dynamics.errors import UserError

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "LOWRANK_DATA"
GZIP_MAGIC = b"\x1f\x8b"


class Source(Protocol):
    """A place that may hold a file."""

    @property
    def name(self) -> str:
        """What messages and provenance call this place."""

    def fetch(self, file: str) -> Path | None:
        """Return the path of `file`, or None if this place does not have it; raises OSError if it cannot be reached."""

    def discard(self, file: str) -> None:
        """Remove `file` if `fetch` brought it here, because its content is wrong."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine; the file may lie in it as it is or without its `.gz` ending, decompressed."""

    name: str
    path: Path

    def fetch(self, file: str) -> Path | None:
        """Return the path of `file`, or None if the folder does not hold it."""
        candidates = (self.path / file, self.path / file.removesuffix(".gz"))
        return next((path for path in candidates if path.is_file()), None)

    def discard(self, file: str) -> None:
        """Leave a file that is not used where it is: the folder is the user's."""


@dataclass(frozen=True)
class Url:
    """An address files are downloaded from, into the user's cache; a download that breaks off leaves no file."""

    cache: ClassVar[Path] = pooch.os_cache("lowrank-dynamics")

    name: str
    base: str

    def fetch(self, file: str) -> Path:
        """Return the path of `file` in the cache, downloaded if it is not there yet."""
        return Path(pooch.retrieve(f"{self.base}/{file}", known_hash=None, fname=file, path=self.cache))

    def discard(self, file: str) -> None:
        """Remove a download that turned out to be wrong, so that it is fetched again next time."""
        (self.cache / file).unlink(missing_ok=True)


def user_folder(subfolder: str) -> list[Source]:
    """Return the folder that the environment variable LOWRANK_DATA names, if it is set, as the first source to try."""
    root = os.environ.get(FOLDER_VARIABLE)
    return [Folder(f"{FOLDER_VARIABLE}={root}", Path(root) / subfolder)] if root else []


def load_verified(file: str, sha256: str, sources: Sequence[Source]) -> tuple[bytes, str]:
    """Return the decoded content of `file` and the name of the first source whose content has the digest `sha256`.

    A file that is corrupt, truncated or of other content is named in the log with expected and found digest and is
    not used. Raises UserError, which tells what became of each source, if none has the content.
    """
    attempts = []
    for source in sources:
        content, problem = _attempt(file, sha256, source)
        if content is not None:
            return content, source.name
        source.discard(file)
        attempts.append(f"{source.name}: {problem}")
        log.warning("%s from %s is not used: %s", file, source.name, problem)
    raise UserError(
        f"no source has {file} with the content sha256 {sha256} ({'; '.join(attempts)}); "
        f"put the file into a folder and name that folder's parent in {FOLDER_VARIABLE}"
    )


def _attempt(file: str, sha256: str, source: Source) -> tuple[bytes | None, str]:
    """Return (content, "") if `source` has `file` with the expected content, else (None, what is wrong with it)."""
    try:
        path = source.fetch(file)
    except (OSError, ValueError) as error:
        return None, f"cannot be reached ({type(error).__name__})"
    if path is None:
        return None, "has no such file"
    try:
        raw = path.read_bytes()
    except OSError as error:
        return None, f"{path} cannot be read ({error})"
    try:
        content = gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = hashlib.sha256(raw).hexdigest()
        return (
            None,
            f"{path} is truncated or corrupt ({error}): found sha256 {found} undecoded, expected {sha256} decoded",
        )
    found = hashlib.sha256(content).hexdigest()
    if found == sha256:
        return content, ""
    return None, f"{path} has sha256 {found}, expected {sha256}"
