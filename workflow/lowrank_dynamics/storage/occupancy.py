"""Who works in a folder of results: it tells the lock of a killed run, which is removed, from that of a run going on.

Snakemake's own lock does not say whose it is. A run holds a lock of the system for as long as its process lives,
however that ends, and leaves a note on itself.
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

LIVING = "lowrank.lock"
NOTE = "lowrank.json"


class Occupant(NamedTuple):
    """A run: its scale, process and machine, when it began, and whether its jobs run there too and end with it."""

    scale: str
    process: int
    machine: str
    began: str
    local: bool

    def __str__(self) -> str:
        """Return what a message calls it."""
        return f"a run at {self.scale} scale, process {self.process} on {self.machine} since {self.began}"


def enter(folder: Path) -> str:
    """Remove what a killed run left in a folder of Snakemake's, such as `.snakemake`, and return what is to be said.

    That is empty if nothing is locked there. From now on this process counts as living there. Where the file system
    has no locks, or nothing can be written, nothing is removed or said.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LIVING, os.O_RDWR | os.O_CREAT, 0o666)  # open until the process ends
        alone = _is_alone(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        return ""
    locks, occupant = folder / "locks", _noted(folder)
    if not (locks.is_dir() and any(locks.iterdir())) or occupant is None:
        return ""
    if not alone:
        return (
            f"{occupant} is going on in this folder: wait until it has ended, or run elsewhere, --directory FOLDER; "
            "--unlock would let both write the same files"
        )
    if occupant.machine != socket.gethostname():
        return f"{occupant} has not ended, as far as can be told from here; if it has, remove its lock: --unlock"
    if not occupant.local:
        return (
            f"{occupant} was killed, but its jobs may still be queued or running: end those with scancel, and then "
            "remove its lock: --unlock"
        )
    shutil.rmtree(locks)
    return f"{occupant} was killed; its lock is removed, and this run resumes where it stopped"


def begin(folder: Path, scale: str, *, local: bool) -> None:
    """Note that this process runs a scale in a folder of Snakemake's; `local` means that its jobs end with it."""
    began = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    occupant = Occupant(scale, os.getpid(), socket.gethostname(), began, local)
    (folder / NOTE).write_text(json.dumps(occupant._asdict()), encoding="utf-8")


def _is_alone(descriptor: int) -> bool:
    """Return whether no other process lives there. Raises OSError where there are no locks."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _noted(folder: Path) -> Occupant | None:
    """Return the run that began last in a folder; None if it left no note that can be read."""
    try:
        return Occupant(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
