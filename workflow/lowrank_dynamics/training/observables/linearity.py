"""How far the two-layer network is from the linear one of the same weights (the conjecture of
appendix C).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lowrank_dynamics.models.linearity import linear_network, slope_at_zero
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class Linearity(Observer):
    """The distances of outputs and gradient from those of phi'(0) W_2 W_1 X.

    `initial_gradient` is G_1(0): (trials, m, d), `activation` the module of phi.
    """

    def __init__(self, every: int, *, initial_gradient: Tensor, activation: nn.Module) -> None:
        super().__init__(every)
        self.slope = slope_at_zero(activation)
        self.initial_norm = torch.linalg.matrix_norm(initial_gradient)

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield `output_distance` and `gradient_distance`, relative to the network's outputs and
        G_1(t).

        And `absolute_gradient_distance`, relative to ||G_1(0)||_F.
        """
        weights = [weight.detach() for weight in iterate.mlp.weights]
        inputs, targets = iterate.batch.inputs, iterate.batch.targets
        linear_outputs, linear_gradient = linear_network(weights, self.slope, inputs, targets)
        gradient = iterate.gradients[0]
        gradient_norm = torch.linalg.matrix_norm(gradient)
        gradient_distance = torch.linalg.matrix_norm(gradient - linear_gradient)
        output_norm = torch.linalg.matrix_norm(iterate.outputs)
        output_distance = torch.linalg.matrix_norm(iterate.outputs - linear_outputs)
        absolute = gradient_distance / self.initial_norm
        yield iterate.measured("output_distance", 0, output_distance / output_norm)
        yield iterate.measured("gradient_distance", 1, gradient_distance / gradient_norm)
        yield iterate.measured("absolute_gradient_distance", 1, absolute)
