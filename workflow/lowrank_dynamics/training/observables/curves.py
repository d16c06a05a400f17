"""The learning curves: losses and accuracies."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lowrank_dynamics.config.blocks import EVALUATED_AT_ONCE
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.models.networks import StackedNetwork, in_evaluation
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.losses import OBJECTIVES
from lowrank_dynamics.training.observables.observer import Iterate, Observer


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the fraction (trials,) of samples whose largest output (trials, K, N) is that of their
    label.
    """
    # argmax takes 25 times as long, because classes do not lie side by side in memory
    _, largest = outputs.max(dim=-2)
    return (largest == labels).double().mean(dim=-1)


class LossAndAccuracy(Observer):
    """Loss and accuracy on all training data and, where there are such, on test data.

    `objective` is a name in `OBJECTIVES`; samples are evaluated `samples_at_once` at a time, or
    `EVALUATED_AT_ONCE` if that is None.
    """

    def __init__(
        self, every: int, *, data: Dataset, objective: str, samples_at_once: int | None
    ) -> None:
        super().__init__(every)
        self.train = data.train
        self.test = data.test
        self.loss = OBJECTIVES[objective]
        self.at_once = samples_at_once or EVALUATED_AT_ONCE

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield `train_loss` and `train_accuracy`, and the same of the test data."""
        if iterate.batch is self.train:
            train_accuracy = accuracy(iterate.outputs, self.train.labels)
            yield iterate.measured("train_loss", 0, iterate.losses)
            yield iterate.measured("train_accuracy", 0, train_accuracy)
        else:
            yield from self._evaluate("train", self.train, iterate)
        if self.test is not None:
            yield from self._evaluate("test", self.test, iterate)

    def _evaluate(self, name: str, split: Split, iterate: Iterate) -> Iterator[Measurement]:
        outputs = self._outputs(iterate.network, split.inputs)
        yield iterate.measured(f"{name}_loss", 0, self.loss(outputs, split.targets))
        yield iterate.measured(f"{name}_accuracy", 0, accuracy(outputs, split.labels))

    def _outputs(self, network: StackedNetwork, inputs: Tensor) -> Tensor:
        """Return the outputs of a network in evaluation: (trials, K, N)."""
        with in_evaluation(network):
            chunks = [network(chunk) for chunk in inputs.split(self.at_once, dim=-1)]
        return torch.cat(chunks, dim=-1)
