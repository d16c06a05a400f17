"""How far the two-layer network is from the linear one of the same weights (the conjecture of
appendix C).
"""

from collections.abc import Iterator

import torch

from lowrank_dynamics.models.linearity import linear_network, slope_at_zero
from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


class Linearity(Observer):
    """The distances of outputs and gradient from those of phi'(0) W_2 W_1 X."""

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        self.slope = slope_at_zero(start.mlp.activation)
        self.first = torch.linalg.matrix_norm(start.first_gradient)

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield `output_distance` and `gradient_distance`, relative to the network's own outputs
        and G_1(t).

        And `absolute_gradient_distance`, relative to ||G_1(0)||_F.
        """
        assert isinstance(iterate.network, MLP)
        weights = [weight.detach() for weight in iterate.network.weights]
        outputs, gradient = linear_network(
            weights, self.slope, iterate.batch.inputs, iterate.batch.targets
        )
        own = iterate.gradients[0]
        distance = torch.linalg.matrix_norm(own - gradient)
        norm = torch.linalg.matrix_norm(iterate.outputs)
        yield Observation(
            "output_distance", 0, torch.linalg.matrix_norm(iterate.outputs - outputs) / norm
        )
        yield Observation("gradient_distance", 1, distance / torch.linalg.matrix_norm(own))
        yield Observation("absolute_gradient_distance", 1, distance / self.first)
