"""The gradient at initialization against eps: why smoothness makes it nearly of rank K (figure 11)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.losses import first_gradient
from lowrank_dynamics.training.observables.observer import Iterate, Observation


@dataclass(frozen=True)
class FirstGradient:
    """Measures G_1(0) and phi'(W_1(0) X) with the initial hidden weights scaled from `eps` to each of `start_eps`.

    Random slopes are at their mean.
    """

    start_eps: Sequence[float]
    eps: float
    classes: int
    objective: str
    train: Split

    @classmethod
    def observing(cls, start_eps: Sequence[float], start: Start) -> Self:
        """Return the observer of a training from its `start`."""
        experiment, train = start.job.experiment, start.data.train
        return cls(start_eps, experiment.network.eps, train.classes, experiment.training.objective, train)

    def is_due(self, step: int) -> bool:
        """Return whether to measure at this step: at the first."""
        return step == 0

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield, with one value for each of `start_eps`, `gradient_tail` and `derivative_spread`.

        `gradient_tail` is sigma_{K+1} / sigma_K of G_1(0); `derivative_spread` is the distance of phi'(W_1(0) X) from
        the nearest constant matrix, relative to its own norm. Nothing is yielded after step 0.
        """
        if iterate.step > 0:
            return
        assert isinstance(iterate.network, MLP)
        starts = [self._start(iterate.network, eps / self.eps) for eps in self.start_eps]
        tails, spreads = zip(*starts, strict=True)
        yield Observation("gradient_tail", 1, torch.stack(tails, dim=-1))
        yield Observation("derivative_spread", 1, torch.stack(spreads, dim=-1))

    def _start(self, network: MLP, factor: float) -> tuple[Tensor, Tensor]:
        """Return `gradient_tail` and `derivative_spread`, both (trials,), with hidden weights scaled by `factor`."""
        hidden = [factor * weight for weight in network.hidden_weights]
        scaled = MLP([*hidden, network.weights[-1].detach()], network.activation)
        values = torch.linalg.svdvals(first_gradient(scaled, self.objective, self.train))
        derivative = _derivative(scaled.eval().activation, hidden[0] @ self.train.inputs)
        scaled.train()
        off_constant = derivative - derivative.mean(dim=(-2, -1), keepdim=True)
        spread = torch.linalg.matrix_norm(off_constant) / torch.linalg.matrix_norm(derivative)
        return values[:, self.classes] / values[:, self.classes - 1], spread


@torch.enable_grad()
def _derivative(activation: nn.Module, z: Tensor) -> Tensor:
    """Return phi'(z) entry by entry."""
    z.requires_grad_()
    return torch.autograd.grad(activation(z.clone()).sum(), z)[0]
