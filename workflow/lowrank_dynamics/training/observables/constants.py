"""The constants of theorem 3.5 that docs/beyond.md derives, beside what they bound."""

from collections.abc import Iterator

import torch

from lowrank_dynamics.models.linearity import (
    Curvature,
    curvature_bound,
    derivative_bounds,
    first_tail_bound,
)
from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


class Constants(Observer):
    """The curvature of the loss in W_1 with gamma, and sigma_{K+1}(G_1(0)) with C_1 eps, on
    whitened data.
    """

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        self.b, self.mu = derivative_bounds(start.mlp.activation)
        self.eps = start.job.experiment.network.eps

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield `curvature` and `curvature_bound`; at step 0 `first_tail` and `first_tail_bound`,
        all of layer 1.
        """
        assert isinstance(iterate.network, MLP)
        weights = [weight.detach() for weight in iterate.network.weights]
        gradient, batch = iterate.gradients[0], iterate.batch
        residual = iterate.outputs - batch.targets
        curvature = Curvature.at(weights, iterate.network.activation, batch.inputs, residual)
        yield Observation("curvature", 1, curvature.largest(gradient))
        yield Observation(
            "curvature_bound", 1, curvature_bound(weights[1], residual, self.b, self.mu)
        )
        if iterate.step == 0:
            bound = first_tail_bound(weights[1], residual, self.mu, gradient.shape[-1], self.eps)
            yield Observation("first_tail", 1, torch.linalg.svdvals(gradient)[:, batch.classes])
            yield Observation("first_tail_bound", 1, bound)
