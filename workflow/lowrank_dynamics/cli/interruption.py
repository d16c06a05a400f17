"""What happens when a command is asked to stop, by Ctrl-C or by a scheduler: one sentence, and
nothing half-written.
"""

import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from lowrank_dynamics.errors import Interrupted

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RUN = "LOWRANK_RUN"
"""The environment variable by which a run of the workflow tells its jobs its process number."""


def exit_when_asked() -> None:
    """From now on let Ctrl-C, and the signal with which a scheduler ends a job, end this process
    with a sentence.

    It is for the time of imports, when nothing can be lost and an exception might be caught.
    A signal that this process was started to ignore, as in the background of a script, is still
    ignored.
    """
    _heed(_exit)


def end_when_asked() -> None:
    """From now on let these signals raise Interrupted."""
    _heed(_end)


def _heed(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def can_follow() -> bool:
    """Return whether `end_with` works here: Linux has had `pidfd_open` since version 5.3."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def end_with(run: str | None) -> None:
    """From now on, stop as if asked to once the process numbered `run` has ended for any reason; do
    nothing for None. Raises Interrupted if it has ended already.

    Jobs of a killed run therefore do not continue alongside those of the next, where `can_follow`.
    """
    if run is None or not can_follow():
        return
    try:
        ended = os.pidfd_open(int(run))
    except ProcessLookupError as error:
        raise Interrupted("the run that started this job has ended; run it again") from error
    except (OSError, ValueError):
        return

    def wait() -> None:
        select.select([ended], [], [])
        log.warning("the run that started this job has ended, so the job stops too")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def deferred(request: Callable[[], None]) -> Iterator[None]:
    """Call `request` at the first signal to stop, where Interrupted would be raised; at the second
    it is.
    """

    def note(*_: object) -> None:
        end_when_asked()
        request()

    for number in SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, note)
    try:
        yield
    finally:
        end_when_asked()


def _end(number: int, _: FrameType | None) -> Never:
    raise Interrupted(_stopped(number))


def _exit(number: int, _: FrameType | None) -> Never:
    os.write(2, f"error: {_stopped(number)}\n".encode())
    os._exit(Interrupted.status)


def _stopped(number: int) -> str:
    return f"stopped by {signal.Signals(number).name}; run the same command again"
