"""What an observer is: it turns the iterate at one step into measurements."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import StackedNetwork


class Iterate(NamedTuple):
    """The networks at one step, with what the samples of that step gave.

    `outputs`: (trials, K, n), `losses`: (trials,), and the `gradients` of the trained weights, shaped like them.
    """

    step: int
    network: StackedNetwork
    batch: Split
    outputs: Tensor
    losses: Tensor
    gradients: Sequence[Tensor]


class Observation(NamedTuple):
    """One quantity of one layer (0: the whole network) with its values (trials,) or (trials, n)."""

    quantity: str
    layer: int
    values: Tensor


class Observer(Protocol):
    """Measures something at some of the steps, and always at the last.

    Its class has the method `observing`, which makes one from its setting in `observe` and the start of a training.
    One that remembers something from step to step has it, as tensors by name, in an attribute `state`.
    """

    def is_due(self, step: int) -> bool:
        """Return whether to measure at this step."""

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield what is observed of an iterate; a value that is not defined is NaN and leaves no row in the metrics."""
