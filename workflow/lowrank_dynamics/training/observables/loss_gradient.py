"""The norm of the gradient of the training loss: how near training is to a stationary point."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.config.blocks import EVALUATED_AT_ONCE
from lowrank_dynamics.data.dataset import Dataset
from lowrank_dynamics.models.networks import StackedNetwork, in_evaluation
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.losses import forward_and_back
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class LossGradient(Observer):
    """The Euclidean norm of the gradient of the loss on all training data in all trained weights.

    `objective` is a name in `OBJECTIVES`; where steps take minibatches, the samples pass through
    the network `samples_at_once` at a time, or `EVALUATED_AT_ONCE` if that is None.
    """

    def __init__(
        self, every: int, *, data: Dataset, objective: str, samples_at_once: int | None
    ) -> None:
        super().__init__(every)
        self.train = data.train
        self.objective = objective
        self.at_once = samples_at_once or EVALUATED_AT_ONCE

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield `loss_gradient_norm` of the whole network, without weight decay.

        Random slopes are those of the step if it takes all samples, else at their mean.
        """
        gradients = iterate.gradients
        if iterate.batch is not self.train:
            gradients = self._gradients(iterate.network)
        yield iterate.measured("loss_gradient_norm", 0, _norm(gradients))

    def _gradients(self, network: StackedNetwork) -> Sequence[Tensor]:
        """Return the gradients on all training data, shaped like the trained weights."""
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        with in_evaluation(network):
            whole = forward_and_back(network, self.train, self.objective, trained, self.at_once)
        return whole.gradients


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm (trials,), float64, of all entries of stacks (trials, ., .)."""
    energy = torch.zeros(len(gradients[0]), dtype=torch.float64, device=gradients[0].device)
    for gradient in gradients:  # one after the other, so that no rounding depends on the stack
        energy += gradient.double().square().sum(dim=(-2, -1))
    return energy.sqrt()
