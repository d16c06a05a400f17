"""How many directions the change of each hidden layer has."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from lowrank_dynamics.models.movement import directions
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class ChangeRank(Observer):
    """The number of directions that hold 99 % of the squared change of each hidden layer; undefined
    at step 0.

    `initial_weights` are W_1(0) .. W_{L-1}(0).
    """

    def __init__(self, every: int, *, initial_weights: Sequence[Tensor]) -> None:
        super().__init__(every)
        self.initial_weights = initial_weights

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield the `change_rank` of each hidden layer."""
        layers = zip(iterate.mlp.hidden_weights, self.initial_weights, strict=True)
        for layer, (weight, initial) in enumerate(layers, start=1):
            yield iterate.measured("change_rank", layer, directions(weight - initial))
