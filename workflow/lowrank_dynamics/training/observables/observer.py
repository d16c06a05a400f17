"""What an observer is: it turns the iterate at one step into measurements."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import StackedNetwork


class Iterate(NamedTuple):
    """The networks at one step, with what the samples of that step gave.

    `outputs`: (trials, K, n), `losses`: (trials,), and the `gradients` of the trained weights,
    shaped like them; and whether it is the `last` step of all.
    """

    step: int
    network: StackedNetwork
    batch: Split
    outputs: Tensor
    losses: Tensor
    gradients: Sequence[Tensor]
    last: bool = False


class Observation(NamedTuple):
    """One quantity of one layer (0: the whole network) with its values (trials,) or (trials, n)."""

    quantity: str
    layer: int
    values: Tensor


class Observer(ABC):
    """Measures something at every `every`-th step, and always at the last.

    A class of observers is called with its setting in `observe` and the start of a training. What
    one remembers from step to step is in `state`, whose values are tensors.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.state: dict[Any, Tensor] = {}

    def is_due(self, step: int, *, last: bool) -> bool:
        """Return whether to measure at this step."""
        return last or step % self.every == 0

    @abstractmethod
    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield what is observed of an iterate; a value that is not defined is NaN and leaves no
        row in the metrics.
        """
