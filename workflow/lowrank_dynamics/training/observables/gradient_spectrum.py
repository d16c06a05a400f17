"""The gradient of the first layer along training, and the updates that theorem 3.5 bounds (figures
12, 13, bound).
"""

from collections.abc import Iterator

import torch

from lowrank_dynamics.models.subspaces import blocks, sine_distance, top_singular_subspaces
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.loop import learning_rate
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


class GradientSpectrum(Observer):
    """Spectrum of G_1(t), rotation A(t) of its top-K singular subspaces, rho(t), and the updates of
    the blocks.
    """

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        train = start.data.train
        self.classes = train.classes
        self.bases = start.bases[0]
        self.training = start.job.experiment.training
        self._first = top_singular_subspaces(start.first_gradient, self.classes)
        signal = start.mlp.weights[-1].detach().mT @ train.targets @ train.inputs.mT
        self._signal_values = torch.linalg.svdvals(signal)[:, : self.classes]

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield what theorem 3.5 and assumption 3.4 are about, all of layer 1.

        `gradient_norm` ||G_1||_F; `gradient_singular_value` sigma_1 .. sigma_{K+1};
        `gradient_rotation` A(t); `update_bound` eta rho(t); `block_update` ||W~_{1,i}(t+1) -
        W~_{1,i}(t)||_F / sqrt(p) for blocks i = 1 .. 4, the update of gradient descent being -eta
        G_1(t); at step 0 the `signal_singular_value` 1 .. K of W_2' Y X', the last of which the
        tail of the gradient is compared with.
        """
        gradient = iterate.gradients[0]
        left, values, right_t = torch.linalg.svd(gradient, full_matrices=False)
        top = left[..., : self.classes], right_t[..., : self.classes, :].mT
        rotation = torch.maximum(*map(sine_distance, self._first, top))
        p = self.bases.v2.shape[-1]
        rho = (values[:, 0] ** 2 * rotation**2 / p + values[:, self.classes] ** 2).sqrt()
        norms = torch.stack(
            [torch.linalg.matrix_norm(block) for block in blocks(gradient, self.bases)], dim=-1
        )
        eta = learning_rate(self.training, iterate.step)
        yield Observation("gradient_norm", 1, torch.linalg.matrix_norm(gradient))
        yield Observation("gradient_singular_value", 1, values[:, : self.classes + 1])
        yield Observation("gradient_rotation", 1, rotation)
        yield Observation("update_bound", 1, eta * rho)
        yield Observation("block_update", 1, eta * norms / p**0.5)
        if iterate.step == 0:
            yield Observation("signal_singular_value", 1, self._signal_values)
