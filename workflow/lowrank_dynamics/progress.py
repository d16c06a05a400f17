"""Shows how far a long computation is: a bar on a terminal, plain lines in a log."""

import logging
from types import TracebackType
from typing import Never, Self

from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Counts the steps of a computation called `name`; a context manager.

    On a terminal it is a bar. Elsewhere it is a log line whenever a further tenth of the steps is done.
    """

    def __init__(self, name: str, steps: int) -> None:
        self.name = name
        self.steps = steps
        self._bar: tqdm[Never] = tqdm(total=steps, desc=name, unit="step", disable=None)
        self._reported = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def reach(self, step: int, loss: float) -> None:
        """Show that `step` is reached, and the loss there."""
        if not self._bar.disable:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
        elif (tenth := 10 * step // max(self.steps, 1)) > self._reported:
            self._reported = tenth
            log.info("%s: step %d of %d, mean training loss %.4g", self.name, step, self.steps, loss)
