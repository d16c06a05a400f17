"""Where the change of the first layer lies: its entries in the bases of theorem 3.5 (figure
emergence).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.models.subspaces import LayerBases
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class BlockMagnitudes(Observer):
    """The magnitudes of the entries of U_1' (W_1(t) - W_1(0)) V_1, whose upper left corner is
    block 1.

    `initial_weights` are W_1(0) .. W_{L-1}(0), `bases` those of theorem 3.5, by layer.
    """

    def __init__(
        self, every: int, *, initial_weights: Sequence[Tensor], bases: Sequence[LayerBases]
    ) -> None:
        super().__init__(every)
        self.initial_weight = initial_weights[0]
        self.left = torch.cat([bases[0].u1, bases[0].u2], dim=-1)
        self.right = torch.cat([bases[0].v1, bases[0].v2], dim=-1)

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield the `block_magnitude` of the m d entries of layer 1, row by row."""
        change = iterate.mlp.hidden_weights[0] - self.initial_weight
        entries = self.left.mT @ change @ self.right
        yield iterate.measured("block_magnitude", 1, entries.abs().flatten(start_dim=-2))
