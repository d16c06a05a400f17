"""How many directions the change of each hidden layer has."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer

HELD = 0.99
"""The part of the squared Frobenius norm of a change that its directions must hold."""


def directions(change: Tensor, held: float = HELD) -> Tensor:
    """Return how many singular values hold this part of the squared norm of W_l(t) - W_l(0):
    (trials,); NaN of 0.
    """
    energies = torch.linalg.svdvals(change).square()
    sums = energies.cumsum(dim=-1)
    missing = sums < held * sums[..., -1:]
    return (missing.sum(dim=-1) + 1.0).masked_fill(sums[..., -1] == 0, torch.nan)


class ChangeRank(Observer):
    """The number of directions that hold 99 % of the squared change of each hidden layer; undefined
    at step 0.
    """

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        self.initial = [weight.clone() for weight in start.mlp.hidden_weights]

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield the `change_rank` of each hidden layer."""
        assert isinstance(iterate.network, MLP)
        for layer, weights in enumerate(
            zip(iterate.network.hidden_weights, self.initial, strict=True), start=1
        ):
            yield Observation("change_rank", layer, directions(weights[0] - weights[1]))
