"""The constants of theorem 3.5 that docs/beyond.md derives, against what they bound."""

from collections.abc import Iterator

import torch
from torch import nn

from lowrank_dynamics.models.linearity import (
    Curvature,
    curvature_bound,
    derivative_bounds,
    first_tail_bound,
    sublevel_curvature_bound,
)
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class Constants(Observer):
    """The curvature of the loss in W_1 with gamma, and sigma_{K+1}(G_1(0)) with C_1 eps, on
    whitened data.
    """

    def __init__(self, every: int, *, activation: nn.Module, eps: float) -> None:
        super().__init__(every)
        self.b, self.mu = derivative_bounds(activation)
        self.eps = eps

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield `curvature` and `curvature_bound`, the local gamma; at step 0 `first_tail` and
        `first_tail_bound`, all of layer 1.

        And at step 0 `sublevel_curvature_bound`, the gamma that holds wherever the loss is at most
        the initial one, and `step_times_bound`, eta times it.
        """
        first, last = [weight.detach() for weight in iterate.mlp.weights]
        gradient, batch = iterate.gradients[0], iterate.batch
        residual = iterate.outputs - batch.targets
        activation = iterate.mlp.activation
        curvature = Curvature.at([first, last], activation, batch.inputs, residual)
        bound = curvature_bound(last, residual, self.b, self.mu)
        yield iterate.measured("curvature", 1, curvature.largest())
        yield iterate.measured("curvature_bound", 1, bound)
        if iterate.step == 0:
            dimension = gradient.shape[-1]
            tail = torch.linalg.svdvals(gradient)[:, batch.classes]
            tail_bound = first_tail_bound(last, residual, self.mu, dimension, self.eps)
            yield iterate.measured("first_tail", 1, tail)
            yield iterate.measured("first_tail_bound", 1, tail_bound)
            everywhere = sublevel_curvature_bound(last, residual, self.b, self.mu)
            yield iterate.measured("sublevel_curvature_bound", 1, everywhere)
            yield iterate.measured("step_times_bound", 1, iterate.eta * everywhere)
