"""The state of a training on disk, from which it resumes after an interruption, if settings and
code are the same.
"""

import io
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lowrank_dynamics.errors import UserError, first_line
from lowrank_dynamics.storage.seal import SEAL, intact, sealing

log = logging.getLogger(__name__)

LARGEST_SHARE = 0.01
"""The share of the time that may be spent on writing states, unless `every` is 0: then one is
written at every step.
"""


class State(NamedTuple):
    """What a training needs to resume before a step: plain values and tensors only.

    `generators` are the states of those that random activations draw from, `running` (trials,)
    tells which trials have not stopped, `blocks` are the bases of a projection, `measurements` are
    what was measured before, with lists in place of arrays.
    """

    step: int
    parameters: dict[str, Tensor]
    optimizer: dict[str, Any]
    generators: list[Tensor]
    running: Tensor
    blocks: list[tuple[Tensor, Tensor]]
    observers: list[dict[Any, Tensor]]
    measurements: list[Any]


class Checkpoint:
    """The file with the last state of one training, written at most once in `every` seconds.

    Slow writes are made less often, so that training is slowed by at most one percent. When it is
    written affects no number. `key` identifies the training: a state with another key, or one that
    cannot be read, is never resumed from; it is renamed, and the log says so. A state from another
    `device`, which rounds differently, is not resumed from either, and stays.
    """

    def __init__(self, path: Path, key: str, every: float, device: str = "cpu") -> None:
        self.path = path
        self.key = key
        self.every = every
        self.device = device
        self.interrupted = False
        self._written = time.monotonic()
        self._took = 0.0

    def interrupt(self) -> None:
        """Ask the training to write its state after the current step, and to end."""
        self.interrupted = True

    def load(self) -> State | None:
        """Return the state that was written last, its tensors on the CPU, if there is one of the
        same training; rename any other.

        Raises UserError if that ran on another device.
        """
        if not self.path.exists():
            return None
        try:
            content = io.BytesIO(intact(self.path))
            stored = torch.load(content, weights_only=True, map_location="cpu")
            state = State(**stored["state"])
        except (OSError, MemoryError):  # the file may be whole
            raise
        except Exception as error:  # a broken file makes the reader raise anything
            self._set_aside(f"cannot be read and is not used ({type(error).__name__})")
            return None
        if stored["key"] != self.key:
            self._set_aside(
                "was written with different settings, data, code, torch or threads and is not used"
            )
            return None
        if stored["device"] != self.device:
            raise UserError(
                f"{self.path} was written at step {state.step} on {stored['device']}, and this is"
                f" {self.device}, which rounds differently; resume it there, or delete the file to"
                " start over"
            )
        return state

    def is_due(self) -> bool:
        """Return whether it is time to write a state."""
        rarely = self._took / LARGEST_SHARE if self.every > 0 else 0.0
        waited = time.monotonic() - self._written
        return self.interrupted or waited >= max(self.every, rarely)

    def save(self, state: State) -> None:
        """Write a state in place of the last one; an interrupted write leaves the last one as it
        was.

        If it fails, training continues without, and the log says so.
        """
        began = time.monotonic()
        content = {
            "key": self.key,
            "device": self.device,
            "seal": SEAL,
            "state": state._asdict(),
        }
        try:
            with sealing(self.path) as partial:
                torch.save(content, partial)
        except torch.AcceleratorError:  # the device failed, and not the disk
            raise
        except (OSError, RuntimeError) as error:  # torch reports a full disk by a RuntimeError
            reason = first_line(error)
            log.warning("%s cannot be written, training continues without (%s)", self.path, reason)
        self._written = time.monotonic()
        self._took = self._written - began

    def remove(self) -> None:
        """Remove the state, when its training is done."""
        self.path.unlink(missing_ok=True)

    def _set_aside(self, reason: str) -> None:
        """Rename a state that is of no use here, and log the reason: it may be of use with the
        settings that it is of.
        """
        aside = self.path.with_name(f"{self.path.name}.unused")
        self.path.replace(aside)
        log.warning("%s %s; it is now %s", self.path, reason, aside.name)
