"""The learning curves: losses and accuracies."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lowrank_dynamics.config.cell import EVALUATED_AT_ONCE
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import StackedNetwork
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.losses import OBJECTIVES
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the fraction (trials,) of samples whose largest output (trials, K, N) is that of their
    label.
    """
    _, largest = outputs.max(
        dim=-2
    )  # argmax takes 25 times as long, because classes do not lie side by side in memory
    return (largest == labels).double().mean(dim=-1)


class LossAndAccuracy(Observer):
    """Loss and accuracy on all training data and, where there are such, on test data."""

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        experiment = start.job.experiment
        self.objective = OBJECTIVES[experiment.training.objective]
        self.at_once = experiment.samples_at_once or EVALUATED_AT_ONCE
        self.train, self.test = start.data.train, start.data.test

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield `train_loss` and `train_accuracy`, and the same of the test data."""
        if iterate.batch is self.train:
            yield Observation("train_loss", 0, iterate.losses)
            yield Observation("train_accuracy", 0, accuracy(iterate.outputs, self.train.labels))
        else:
            yield from self._evaluate("train", self.train, iterate.network)
        if self.test is not None:
            yield from self._evaluate("test", self.test, iterate.network)

    def _evaluate(self, name: str, split: Split, network: StackedNetwork) -> Iterator[Observation]:
        network.eval()
        outputs = torch.cat(
            [network(chunk) for chunk in split.inputs.split(self.at_once, dim=-1)], dim=-1
        )
        network.train()
        yield Observation(f"{name}_loss", 0, self.objective(outputs, split.targets))
        yield Observation(f"{name}_accuracy", 0, accuracy(outputs, split.labels))
