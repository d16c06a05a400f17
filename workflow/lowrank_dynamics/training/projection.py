"""Training whose hidden layers may move inside one block of each only, or outside of it only."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lowrank_dynamics.models.subspaces import LayerBases, signed_svd


class Block(NamedTuple):
    """Orthonormal bases of the outputs and of the inputs of a layer that span a block: (trials, m,
    k) and (trials, n, k).
    """

    left: Tensor
    right: Tensor

    def of(self, matrix: Tensor) -> Tensor:
        """Return the part of a matrix (trials, m, n) in the block: U_1 U_1' M V_1 V_1'."""
        coordinates = self.left.mT @ matrix @ self.right
        return self.left @ coordinates @ self.right.mT


def first_blocks(bases: Sequence[LayerBases]) -> list[Block]:
    """Return block 1 of each layer."""
    return [Block(layer.u1, layer.v1) for layer in bases]


class Projection:
    """Takes a part of the gradients of the hidden layers: the one `inside` a block of each, the one
    `outside`, or none if the layers are `frozen`. Those of other weights stay.

    With `renew_every` the blocks are taken anew every so many steps: the top singular subspaces of
    the gradients, of dimension `rank`, as in GaLore. They are the state between steps.
    """

    def __init__(
        self, part: str, blocks: Sequence[Block], renew_every: int | None, rank: int
    ) -> None:
        self.part = part
        self.blocks = list(blocks)
        self.renew_every = renew_every
        self.rank = rank

    def is_renewed(self, step: int) -> bool:
        """Return whether the blocks are taken anew at a step."""
        return self.renew_every is not None and step % self.renew_every == 0

    def of(self, step: int, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return what is left of the gradients of W_1 .. W_L at a step."""
        if self.is_renewed(step):
            self.blocks = [self._top_block(gradient) for gradient in gradients[:-1]]
        *hidden, last = gradients
        if self.part == "frozen":
            return [*map(torch.zeros_like, hidden), last]
        taken = []
        for block, gradient in zip(self.blocks, hidden, strict=True):
            inside = block.of(gradient)
            taken.append(inside if self.part == "inside" else gradient - inside)
        return [*taken, last]

    def _top_block(self, gradient: Tensor) -> Block:
        left, _, right_t = signed_svd(gradient)
        return Block(left[..., : self.rank], right_t[..., : self.rank, :].mT)
