"""The gradient at initialization against eps: why smoothness makes it nearly of rank K (figure
11).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.data.dataset import Dataset
from lowrank_dynamics.models.linearity import derivatives
from lowrank_dynamics.models.networks import MLP, in_evaluation
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.losses import first_layer_gradient
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class GradientOverEps(Observer):
    """Measures G_1(0) and phi'(W_1(0) X) with the initial hidden weights scaled from `eps` to each
    of `start_eps`.

    Random slopes are at their mean.
    """

    def __init__(
        self, start_eps: Sequence[float], *, data: Dataset, objective: str, eps: float
    ) -> None:
        super().__init__(every=1)
        self.factors = [other / eps for other in start_eps]
        self.objective = objective
        self.train = data.train

    def is_due(self, step: int, *, last: bool) -> bool:
        """Return whether this step is the start."""
        del last
        return step == 0

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield `gradient_tail` and `derivative_spread`, with one value for each of `start_eps`.

        `gradient_tail` is sigma_{K+1} / sigma_K of G_1(0); `derivative_spread` is the distance of
        phi'(W_1(0) X) from the nearest constant matrix, relative to its norm.
        """
        tails, spreads = [], []
        for factor in self.factors:
            scaled = _scaled(iterate.mlp, factor)
            tails.append(self._tail(scaled))
            spreads.append(self._derivative_spread(scaled))
        yield iterate.measured("gradient_tail", 1, torch.stack(tails, dim=-1))
        yield iterate.measured("derivative_spread", 1, torch.stack(spreads, dim=-1))

    def _tail(self, network: MLP) -> Tensor:
        """Return `gradient_tail`: (trials,)."""
        k = self.train.classes
        values = torch.linalg.svdvals(first_layer_gradient(network, self.objective, self.train))
        return values[:, k] / values[:, k - 1]

    def _derivative_spread(self, network: MLP) -> Tensor:
        """Return `derivative_spread`: (trials,)."""
        pre_activations = network.hidden_weights[0] @ self.train.inputs
        with in_evaluation(network):
            derivative, _ = derivatives(network.activation, pre_activations)
        constant = derivative.mean(dim=(-2, -1), keepdim=True)
        distance = torch.linalg.matrix_norm(derivative - constant)
        return distance / torch.linalg.matrix_norm(derivative)


def _scaled(network: MLP, factor: float) -> MLP:
    """Return a network with the same activation and last layer, and `factor` times the hidden
    weights.
    """
    hidden = [factor * weight for weight in network.hidden_weights]
    last = network.weights[-1].detach()
    return MLP([*hidden, last], network.activation)
