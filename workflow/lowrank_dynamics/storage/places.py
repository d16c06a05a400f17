"""What a run asks of the folders that it works in, checked before its first job."""

import os
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile

from lowrank_dynamics.errors import UserError


def require_place(folder: Path, *names: str) -> None:
    """Raise UserError if a run cannot write to a folder: permission is missing, or a part of its
    path is a file.
    """
    for place in (folder, folder / ".snakemake"):
        if place.exists() and not os.access(place, os.W_OK):
            raise UserError(
                f"nothing can be written to {place.resolve()}; let this user write there, or run in"
                " a folder of your own: --directory FOLDER"
            )
    for name in names:
        if os.path.lexists(folder / name) and not (folder / name).is_dir():
            raise UserError(
                f"{name} exists but is not a folder, and the run would write into it; rename it"
            )


def require_plain(*folders: Path) -> None:
    """Raise UserError if a path has a brace, which Snakemake takes for a wildcard, or what
    separates search paths.
    """
    for folder in folders:
        unfit = set(str(folder)) & {"{", "}", os.pathsep}
        if unfit:
            raise UserError(
                f"the path {folder} has a {unfit.pop()}, which Snakemake or Python does not take"
                " for a part of it; rename the folder or move it"
            )


def require_writable(folder: Path) -> None:
    """Create a folder and check that files can be written there. Raises UserError, saying why, if
    not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"nothing can be written to {folder} ({reason}); let this user write there, or move the"
            " project"
        ) from error


def require_modes(folder: Path) -> None:
    """Raise UserError if no mode can be set in the folder of Snakemake's notes, on which it would
    fail after a job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder) as probe:
        try:
            Path(probe.name).chmod(0o644)
        except OSError as error:
            raise UserError(
                f"a file's mode cannot be set in {folder} ({error.strerror}), as Snakemake does"
                " with its notes; let it keep them in one file: snakemake --persistence-backend db"
            ) from error


def require_past(folder: Path, *names: str) -> None:
    """Raise UserError if a file below `names` in a folder is dated after one written to that folder
    now.

    Snakemake would delete what a job makes from it as too old. The clock that counts is that of the
    file system, which may be another machine's.
    """
    with TemporaryFile(dir=folder) as probe:
        now = os.fstat(probe.fileno()).st_mtime
    for name in names:
        for path in (folder / name).rglob("*"):
            time = path.lstat().st_mtime
            if time > now:
                raise UserError(
                    f"{path} is dated {datetime.fromtimestamp(time):%Y-%m-%d %H:%M}, after now, and"
                    " files made from it would seem outdated; set the clock, or reset the time:"
                    f" find {folder} -newermt now -exec touch {{}} +"
                )
