"""What happens when a command is asked to stop, by Ctrl-C or by a scheduler: one sentence, and nothing half-written."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from lowrank_dynamics.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_when_asked() -> None:
    """From now on let Ctrl-C, and the signal with which a scheduler ends a job, raise Interrupted.

    A signal that this process was started to ignore, as in the background of a script, is still ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


@contextmanager
def deferred(request: Callable[[], None]) -> Iterator[None]:
    """Call `request` at the first signal to stop, where Interrupted would be raised; at the second it is."""

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
    raise Interrupted(
        f"stopped by {signal.Signals(number).name}; run the same command again to resume, no progress is lost"
    )
