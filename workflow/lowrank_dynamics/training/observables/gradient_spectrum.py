"""The gradient of the first layer along training, and the updates that theorem 3.5 bounds (figures
12, 13, bound).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.models.subspaces import (
    LayerBases,
    blocks,
    sine_distance,
    top_singular_subspaces,
)
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class GradientSpectrum(Observer):
    """Spectrum of G_1(t), rotation A(t) of its top-K singular subspaces, rho(t), and the updates of
    the blocks.

    `initial_gradient` is G_1(0): (trials, m, d), `bases` are those of theorem 3.5, by layer.
    """

    def __init__(
        self, every: int, *, initial_gradient: Tensor, bases: Sequence[LayerBases]
    ) -> None:
        super().__init__(every)
        self.bases = bases[0]
        k = self.bases.v1.shape[-1] // 2  # S_big has 2K dimensions
        self.initial_left, self.initial_right = top_singular_subspaces(initial_gradient, k)

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield what theorem 3.5 and assumption 3.4 are about, of layer 1 except the residual.

        `gradient_norm` ||G_1||_F; `gradient_singular_value` sigma_1 .. sigma_{K+1};
        `gradient_rotation` A(t); `update_bound` eta rho(t); `block_update` ||W~_{1,i}(t+1) -
        W~_{1,i}(t)||_F / sqrt(p) for blocks i = 1 .. 4, the update of gradient descent being -eta
        G_1(t); `largest_residual` max_ij |Delta_2(t)|_ij of Delta_2 = f(X) - Y, of layer 0; at step
        0 the `signal_singular_value` 1 .. K of W_2' Y X', the last of which the tail of the
        gradient is compared with.
        """
        k = iterate.batch.classes
        p = self.bases.v2.shape[-1]
        gradient = iterate.gradients[0]
        left, values, right_t = torch.linalg.svd(gradient, full_matrices=False)
        rotation = self._rotation(left[..., :k], right_t[..., :k, :].mT)
        rho = (values[:, 0] ** 2 * rotation**2 / p + values[:, k] ** 2).sqrt()
        norms = [torch.linalg.matrix_norm(block) for block in blocks(gradient, self.bases)]
        updates = iterate.eta * torch.stack(norms, dim=-1) / p**0.5
        yield iterate.measured("gradient_norm", 1, torch.linalg.matrix_norm(gradient))
        yield iterate.measured("gradient_singular_value", 1, values[:, : k + 1])
        yield iterate.measured("gradient_rotation", 1, rotation)
        yield iterate.measured("update_bound", 1, iterate.eta * rho)
        yield iterate.measured("block_update", 1, updates)
        residual = iterate.outputs - iterate.batch.targets
        yield iterate.measured("largest_residual", 0, residual.abs().amax(dim=(-2, -1)))
        if iterate.step == 0:
            yield iterate.measured("signal_singular_value", 1, self._signal_values(iterate))

    def _rotation(self, left: Tensor, right: Tensor) -> Tensor:
        """Return A(t): (trials,), the larger of the distances of the top-K left and right singular
        subspaces from those of G_1(0).
        """
        of_left = sine_distance(self.initial_left, left)
        of_right = sine_distance(self.initial_right, right)
        return torch.maximum(of_left, of_right)

    def _signal_values(self, iterate: Iterate) -> Tensor:
        """Return the singular values 1 .. K of W_2' Y X': (trials, K)."""
        last, batch = iterate.mlp.weights[-1].detach(), iterate.batch
        signal = last.mT @ batch.targets @ batch.inputs.mT
        return torch.linalg.svdvals(signal)[:, : batch.classes]
