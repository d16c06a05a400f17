"""How the change of each hidden layer is shared among its four blocks (figures 3 to 5)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from lowrank_dynamics.models.subspaces import LayerBases, block_shares
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class BlockShares(Observer):
    """Each block's share of the change of each hidden layer; undefined at step 0.

    `initial_weights` are W_1(0) .. W_{L-1}(0), `bases` those of theorem 3.5, by layer.
    """

    def __init__(
        self, every: int, *, initial_weights: Sequence[Tensor], bases: Sequence[LayerBases]
    ) -> None:
        super().__init__(every)
        self.initial_weights = initial_weights
        self.bases = bases

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield the `block_share` of blocks 1 to 4 of each hidden layer."""
        layers = zip(iterate.mlp.hidden_weights, self.initial_weights, self.bases, strict=True)
        for layer, (weight, initial, bases) in enumerate(layers, start=1):
            shares = block_shares(weight - initial, bases)
            yield iterate.measured("block_share", layer, shares)
