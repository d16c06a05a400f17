"""How the change of each hidden layer is shared among its four blocks (figures 3 to 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.models.subspaces import LayerBases, block_shares
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation


@dataclass(frozen=True)
class BlockShares:
    """Each block's share of the change of each hidden layer since the start (figures 3-5); undefined at step 0."""

    every: int
    initial: list[Tensor]
    bases: list[LayerBases]

    @classmethod
    def observing(cls, every: int, start: Start) -> Self:
        """Return the observer of a training from its `start`."""
        return cls(every, [weight.clone() for weight in start.mlp.hidden_weights], start.bases)

    def is_due(self, step: int) -> bool:
        """Return whether to measure at this step."""
        return step > 0 and step % self.every == 0

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield the `block_share` of blocks 1 to 4 of each hidden layer, from the first step on."""
        assert isinstance(iterate.network, MLP)
        yield from self.of(iterate.network.hidden_weights)

    def of(self, weights: Sequence[Tensor]) -> Iterator[Observation]:
        """Yield the same of hidden weights, each (trials, m, n)."""
        layers = zip(weights, self.initial, self.bases, strict=True)
        for layer, (weight, initial, bases) in enumerate(layers, start=1):
            yield Observation("block_share", layer, block_shares(weight - initial, bases))
