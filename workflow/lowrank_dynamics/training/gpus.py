"""The GPUs of this machine: how many there are, and one for each job.

This module imports no torch, because Snakemake loads it to build the graph of jobs.
"""

import fcntl
import logging
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir
from typing import IO

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks for a GPU while all are taken."""


def count() -> int:
    """Return how many GPUs this process may use, by `CUDA_VISIBLE_DEVICES` or else by what the
    driver lists.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA ignores everything after the first invalid name
        return len(list(takewhile(_is_gpu, visible.split(","))))
    command = ["nvidia-smi", "-L"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _is_gpu(name: str) -> bool:
    """Return whether an entry of `CUDA_VISIBLE_DEVICES` can be a GPU: its number, or its name."""
    stripped = name.strip()
    return stripped.isdecimal() or stripped.startswith(("GPU-", "MIG-"))


@contextmanager
def claimed(names: Sequence[str], folder: Path | None = None) -> Iterator[int]:
    """Yield the position of the first of `names` that no other process has claimed, waiting until
    there is one.

    A claim is a lock on a file in `folder`, by default the user's folder of locks on this machine.
    It ends with the process, even if that is killed.
    """
    locks = folder or Path(gettempdir(), f"lowrank-dynamics-{os.getuid()}")
    locks.mkdir(mode=0o700, exist_ok=True)
    files: list[IO[str]] = []
    with ExitStack() as stack:
        for name in names:
            file = (locks / f"{name}.lock").open("w")
            files.append(stack.enter_context(file))
        index = _locked(files)
        if index is None:
            log.info("other jobs have all of the %d GPUs; waiting for one", len(names))
        while index is None:
            time.sleep(LOOK_AGAIN)
            index = _locked(files)
        yield index


def _locked(files: Sequence[IO[str]]) -> int | None:
    """Lock the first of the files that nobody has locked, and return its position; None if there is
    none.
    """
    for index, file in enumerate(files):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return index
    return None
