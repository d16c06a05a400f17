"""Who works in a folder of results: it tells the lock of a killed run, which is removed, from that
of a run going on.

Snakemake's own lock does not say whose it is. A run holds a lock of the system for as long as its
process lives, however that ends, and leaves a note on itself.
"""

import fcntl
import json
import os
import shutil
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lowrank_dynamics.errors import UserError

LIVING = "lowrank.lock"
NOTE = "lowrank.json"


class Occupant(NamedTuple):
    """A run: its scale, process and machine, when it began, and whether its jobs end when it does,
    however that is.
    """

    scale: str
    process: int
    machine: str
    began: str
    local: bool

    def __str__(self) -> str:
        """Return what a message calls it."""
        return (
            f"a run at {self.scale} scale, process {self.process} on {self.machine} since"
            f" {self.began}"
        )


def clear(folder: Path) -> str:
    """Remove the lock that a killed run left in a folder of Snakemake's, such as `.snakemake`, and
    return what to say.

    That is empty if nothing is locked there, if it is not known by whom, or where the file system
    has no locks.
    """
    locks, occupant = folder / "locks", _noted(folder)
    if not (locks.is_dir() and any(locks.iterdir())) or occupant is None:
        return ""
    try:
        descriptor = os.open(folder / LIVING, os.O_RDWR | os.O_CREAT, 0o666)
        alone = _lock(descriptor)
        os.close(descriptor)
    except OSError:
        return ""
    return _of_killed(occupant, locks) if alone else _going_on(occupant)


def occupy(folder: Path, scale: str, *, local: bool) -> None:
    """Be the one run in a folder of Snakemake's until this process ends; `local` means that its
    jobs end with it.

    Raises UserError, which says who is, if another run goes on there.
    """
    with suppress(OSError):  # where the file system has no locks
        # It stays open until the process ends.
        descriptor = os.open(folder / LIVING, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(descriptor):
            raise UserError(_going_on(_noted(folder)))
    began = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    occupant = Occupant(scale, os.getpid(), socket.gethostname(), began, local)
    (folder / NOTE).write_text(json.dumps(occupant._asdict()), encoding="utf-8")


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed, and return whether nobody else had. Raises OSError where
    there are no locks.
    """
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _of_killed(occupant: Occupant, locks: Path) -> str:
    """Remove the locks of a run that has ended, unless its jobs may go on, and return what to
    say.
    """
    if occupant.machine != socket.gethostname():
        return f"{occupant} may still be running; if it has ended, remove its lock: --unlock"
    if not occupant.local:
        return (
            f"{occupant} was killed, but its jobs may still be queued or running: end those, on"
            " Slurm with scancel, and then remove its lock: --unlock"
        )
    shutil.rmtree(locks, ignore_errors=True)
    if locks.exists():
        return (
            f"{occupant} was killed, and its lock cannot be removed: {locks.resolve()} belongs to"
            " another user"
        )
    return f"{occupant} was killed; its lock is removed, and the next run resumes where it stopped"


def _going_on(occupant: Occupant | None) -> str:
    return (
        f"{occupant or 'another run'} is going on in this folder: wait until it has ended, or run"
        " elsewhere, --directory FOLDER; --unlock would let both write the same files"
    )


def _noted(folder: Path) -> Occupant | None:
    """Return the run that began last in a folder; None if it left no note that can be read."""
    try:
        return Occupant(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
