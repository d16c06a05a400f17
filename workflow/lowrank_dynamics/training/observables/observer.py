"""What an observer is: it turns the iterate at one step into measurements."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import MLP, StackedNetwork
from lowrank_dynamics.storage.metrics import Measurement


class Iterate(NamedTuple):
    """The networks at one step, with what the samples of that step gave.

    `outputs`: (trials, K, n), `losses`: (trials,), and the `gradients` of the trained weights,
    shaped like them; the learning rate `eta` of the step, which trials are `running` (trials,), and
    whether the step is the `last` of all.
    """

    step: int
    network: StackedNetwork
    batch: Split
    outputs: Tensor
    losses: Tensor
    gradients: Sequence[Tensor]
    eta: float
    running: Tensor
    last: bool = False

    @property
    def mlp(self) -> MLP:
        """The network, for observables of hidden weights: the full one, as its registry says."""
        assert isinstance(self.network, MLP)
        return self.network

    def measured(self, quantity: str, layer: int, values: Tensor) -> Measurement:
        """Return a quantity of one layer (0: the whole network) at this step, with its values
        (trials,) or (trials, n); those of trials that have stopped do not count.
        """
        present = self.running.cpu().numpy()
        return Measurement(self.step, layer, quantity, values.double().cpu().numpy(), present)


class Observer(ABC):
    """Measures something at every `every`-th step, and always at the last.

    A class of observers is called with its setting in `observe` and, by their names, with what
    its entry in `OBSERVABLES` says. What one remembers from step to step is in `state`, whose
    values are tensors.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.state: dict[Any, Tensor] = {}

    def is_due(self, step: int, *, last: bool) -> bool:
        """Return whether to measure at this step."""
        return last or step % self.every == 0

    @abstractmethod
    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield what is measured of an iterate; an undefined value is NaN and has no row in the
        metrics.
        """
