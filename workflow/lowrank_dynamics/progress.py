"""Shows how far a long computation is: a bar on a terminal, plain lines in a log."""

import logging
from typing import Never

from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Counts the steps, or other units, of a computation called `name`.

    On a terminal it is a bar, until it is closed. Elsewhere it is a log line whenever a further
    tenth of them is done.
    """

    def __init__(self, name: str, total: int, unit: str = "step") -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self._bar: tqdm[Never] = tqdm(total=total, desc=name, unit=unit, disable=None)
        self._reported = -1

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def reach(self, done: int, note: str = "") -> None:
        """Show how many are done, and a note of how it stands."""
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif (tenth := 10 * done // max(self.total, 1)) > self._reported:
            self._reported = tenth
            words = f"{self.name}: {self.unit} {done} of {self.total}"
            log.info(f"{words}, {note}" if note else words)
