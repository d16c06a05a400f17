"""The gradient at initialization against eps: why smoothness makes it nearly of rank K (figure
11).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.models.linearity import derivatives
from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.losses import first_gradient
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


class FirstGradient(Observer):
    """Measures G_1(0) and phi'(W_1(0) X) with the initial hidden weights scaled from `eps` to each
    of `start_eps`.

    Random slopes are at their mean.
    """

    def __init__(self, start_eps: Sequence[float], start: Start) -> None:
        super().__init__(every=1)
        experiment = start.job.experiment
        self.factors = [eps / experiment.network.eps for eps in start_eps]
        self.objective = experiment.training.objective
        self.train = start.data.train

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield, at step 0 only, `gradient_tail` and `derivative_spread`, with one value for each
        of `start_eps`.

        `gradient_tail` is sigma_{K+1} / sigma_K of G_1(0); `derivative_spread` is the distance of
        phi'(W_1(0) X) from the nearest constant matrix, relative to its own norm.
        """
        if iterate.step > 0:
            return
        assert isinstance(iterate.network, MLP)
        tails, spreads = zip(
            *(self._scaled(iterate.network, factor) for factor in self.factors), strict=True
        )
        yield Observation("gradient_tail", 1, torch.stack(tails, dim=-1))
        yield Observation("derivative_spread", 1, torch.stack(spreads, dim=-1))

    def _scaled(self, network: MLP, factor: float) -> tuple[Tensor, Tensor]:
        """Return `gradient_tail` and `derivative_spread`, both (trials,), with hidden weights
        scaled by `factor`.
        """
        hidden = [factor * weight for weight in network.hidden_weights]
        scaled = MLP([*hidden, network.weights[-1].detach()], network.activation)
        values = torch.linalg.svdvals(first_gradient(scaled, self.objective, self.train))
        derivative, _ = derivatives(scaled.eval().activation, hidden[0] @ self.train.inputs)
        scaled.train()
        off_constant = derivative - derivative.mean(dim=(-2, -1), keepdim=True)
        spread = torch.linalg.matrix_norm(off_constant) / torch.linalg.matrix_norm(derivative)
        return values[:, self.train.classes] / values[:, self.train.classes - 1], spread
