"""How the change of each hidden layer is shared among its four blocks (figures 3 to 5)."""

from collections.abc import Iterator

from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.models.subspaces import block_shares
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


class BlockShares(Observer):
    """Each block's share of the change of each hidden layer since the start; undefined at step
    0.
    """

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        self.initial = [weight.clone() for weight in start.mlp.hidden_weights]
        self.bases = start.bases

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield the `block_share` of blocks 1 to 4 of each hidden layer."""
        assert isinstance(iterate.network, MLP)
        layers = zip(iterate.network.hidden_weights, self.initial, self.bases, strict=True)
        for layer, (weight, initial, bases) in enumerate(layers, start=1):
            yield Observation("block_share", layer, block_shares(weight - initial, bases))
