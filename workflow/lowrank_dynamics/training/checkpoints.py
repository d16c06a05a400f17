"""The state of a training on disk, from which it resumes after an interruption, if settings and code are the same."""

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.metrics import Measurement

log = logging.getLogger(__name__)

LARGEST_SHARE = 0.01
"""The share of the time that may go into writing states, unless it is done at every step, as `every` = 0 asks for."""


class State(NamedTuple):
    """What a training needs to resume before a step: plain values and tensors only.

    `parameters` are all of the network's, `generators` the states of its random activations, `running` (trials,) tells
    which trials have not stopped; `optimizer` and `observers` are what those give as theirs, `measurements` what
    `packed` gives.
    """

    step: int
    parameters: list[Tensor]
    optimizer: dict[str, Any]
    generators: list[Tensor]
    running: Tensor
    observers: list[dict[str, Any]]
    measurements: dict[str, Any]


class Checkpoint:
    """The file that holds the last state of one training, written at most every so many seconds.

    Where writing takes long it is done more rarely, so that training is not slowed by more than one per cent. When it
    is written has no effect on any number. `key` says what the training is of: a state with another key, or one that
    cannot be read, is never resumed from; it is removed, and the log says so.
    """

    def __init__(self, path: Path, key: str, every: float) -> None:
        self.path = path
        self.key = key
        self.every = every
        self.interrupted = False
        self._written = time.monotonic()
        self._took = 0.0

    def interrupt(self) -> None:
        """Ask the training to write its state after the step it is at, and to end there."""
        self.interrupted = True

    def load(self) -> State | None:
        """Return the state that was written last, if there is one of the same training."""
        if not self.path.exists():
            return None
        try:
            stored = torch.load(self.path, weights_only=True, map_location="cpu")
            key, state = stored["key"], State(**stored["state"])
        except Exception as error:  # a broken file makes the reader raise anything
            log.warning("%s cannot be read and is not used (%s)", self.path, type(error).__name__)
            self.remove()
            return None
        if key != self.key:
            log.warning("%s is of other settings or other code and is not used", self.path)
            self.remove()
            return None
        log.info("resuming at step %d from %s", state.step, self.path)
        return state

    def is_due(self) -> bool:
        """Return whether it is time to write a state."""
        if self.interrupted:
            return True
        rarely = self._took / LARGEST_SHARE if self.every > 0 else 0.0
        return time.monotonic() - self._written >= max(self.every, rarely)

    def save(self, state: State) -> None:
        """Write a state in place of the last one; an interrupted write leaves the last one as it was.

        If it fails, training continues without, and the log says so.
        """
        began = time.monotonic()
        try:
            with replacing(self.path) as partial:
                torch.save({"key": self.key, "state": state._asdict()}, partial)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            log.warning("%s cannot be written, training continues without (%s)", self.path, str(error).splitlines()[0])
        self._written = time.monotonic()
        self._took = self._written - began

    def remove(self) -> None:
        """Remove the state, when its training is done or can never resume from it."""
        self.path.unlink(missing_ok=True)


def training_key(parts: Iterable[str], code: Iterable[str]) -> str:
    """Return what tells one training from all others: a digest of `parts`, of the files of `code`, and of torch."""
    digest = hashlib.sha256()
    for part in (*parts, torch.__version__, str(torch.get_num_threads())):
        digest.update(f"{part}\n".encode())
    for file in code:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def packed(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return measurements as a state holds them: their numbers concatenated, which is fastest to write."""
    return {
        "names": [(row.step, row.layer, row.quantity, row.values.shape) for row in measurements],
        "values": _concatenated([row.values for row in measurements], np.float64),
        "present": _concatenated([row.present for row in measurements], np.bool_),
    }


def unpacked(state: dict[str, Any]) -> list[Measurement]:
    """Return the measurements that `packed` was given."""
    shapes = [shape for *_, shape in state["names"]]
    values = state["values"].split([math.prod(shape) for shape in shapes])
    present = state["present"].split([shape[0] for shape in shapes])
    return [
        Measurement(step, layer, quantity, value.reshape(shape).numpy(), there.numpy())
        for (step, layer, quantity, shape), value, there in zip(state["names"], values, present, strict=True)
    ]


def _concatenated(arrays: Sequence[NDArray[Any]], dtype: type[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty(0, dtype), *(array.ravel() for array in arrays)]))
