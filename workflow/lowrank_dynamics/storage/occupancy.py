"""Which run works in a folder: the lock of a killed run is removed, that of an active run is kept.

Snakemake's lock does not say whose it is. A run holds a lock of the system while its process lives,
even if it is killed, and leaves a note about itself.
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
    """A run: its scale, process and machine, when it began, and whether its jobs always end with
    it.
    """

    scale: str
    process: int
    machine: str
    began: str
    local: bool

    def __str__(self) -> str:
        """Return its description in messages."""
        return (
            f"a run at {self.scale} scale, process {self.process} on {self.machine} since"
            f" {self.began}"
        )


def clear(folder: Path) -> str:
    """Remove the lock that a killed run left in a folder of Snakemake's, such as `.snakemake`, and
    return a message.

    It is empty if nothing is locked there, if the owner is unknown, or where the file system has no
    locks.
    """
    locks, occupant = folder / "locks", _noted(folder)
    if not (locks.is_dir() and any(locks.iterdir())) or occupant is None:
        return ""
    try:
        descriptor = _lock(folder)
    except OSError:
        return ""
    if descriptor is None:
        return _active(occupant)
    try:  # until then no other run begins, whose lock would be removed
        return _of_killed(occupant, locks)
    finally:
        os.close(descriptor)


def is_occupied(folder: Path) -> bool:
    """Return whether a run is active in a folder of Snakemake's; false where the file system has no
    locks.
    """
    try:
        descriptor = _lock(folder)
    except OSError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def occupy(folder: Path, scale: str, *, local: bool) -> None:
    """Be the one run in a folder of Snakemake's until this process ends; `local` means that its
    jobs end with it.

    Raises UserError, which describes the other run, if one is active there.
    """
    with suppress(OSError):  # where the file system has no locks
        if _lock(folder) is None:
            raise UserError(_active(_noted(folder)))
    began = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    occupant = Occupant(scale, os.getpid(), socket.gethostname(), began, local)
    (folder / NOTE).write_text(json.dumps(occupant._asdict()), encoding="utf-8")


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed, or the process ends; None if another
    process has locked it. Raises OSError where there are no locks.
    """
    descriptor = os.open(folder / LIVING, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _of_killed(occupant: Occupant, locks: Path) -> str:
    """Remove the locks of a run that has ended, unless its jobs may still run, and return a
    message.
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


def _active(occupant: Occupant | None) -> str:
    return (
        f"{occupant or 'another run'} is active in this folder: wait until it has ended, or run"
        " elsewhere, --directory FOLDER; --unlock would let both write the same files"
    )


def _noted(folder: Path) -> Occupant | None:
    """Return the last run in a folder; None if it left no readable note."""
    try:
        return Occupant(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
