"""From settings to the start of training: data set, networks, observers. Nothing is trained or
written here.
"""

import pkgutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.registries import IMAGES, OBSERVABLES, PARAMETERIZATIONS
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.data.loading import drawn_dataset, stored_convolutions, stored_dataset
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.fine_tuned import FineTuned
from lowrank_dynamics.models.initialization import adapters, mlp_weights, semi_orthogonal
from lowrank_dynamics.models.networks import (
    MLP,
    AdaptedMLP,
    LowRankMLP,
    StackedNetwork,
    make_activation,
)
from lowrank_dynamics.models.starts import Factors, Given
from lowrank_dynamics.models.subspaces import LayerBases, big_subspace, layer_bases
from lowrank_dynamics.training.device import CPU
from lowrank_dynamics.training.losses import first_gradient
from lowrank_dynamics.training.observables.observer import Observer
from lowrank_dynamics.training.randomness import Purpose, trial_generator


@dataclass(frozen=True)
class Job:
    """Which trials of which cell are trained, by which settings, and where.

    A trial gives the same numbers whichever others are stacked with it. On a `device` other than
    the CPU everything is drawn as on the CPU, so that only rounding differs. `stored` is the file
    or folder that earlier jobs wrote, for experiments whose data are not drawn; `weights` is the
    one of pretrained convolutions, for those that train them.
    """

    settings: Settings
    name: str
    cell: Cell
    trials: range
    stored: Path | None = None
    weights: Path | None = None
    device: torch.device = CPU

    @property
    def title(self) -> str:
        """The job's name in messages."""
        return f"{self.name} {self.cell.name}"

    @cached_property
    def experiment(self) -> Experiment:
        """The settings of the experiment, with the changes of the cell's variant."""
        return self.settings.experiment(self.name).of_variant(self.cell.variant)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of weights and data."""
        return getattr(torch, self.experiment.dtype)

    @property
    def files(self) -> list[Path]:
        """Every file with data or pretrained weights that the job reads."""
        if self.stored is None:
            return []
        stored = [self.stored / part.file for part in self.experiment.data.parts] or [self.stored]
        return [*stored, self.weights] if self.weights else stored

    @property
    def convolved(self) -> ConvolvedData | None:
        """The settings of the convolutions that are trained; None if there are none."""
        data = self.experiment.data
        return data if isinstance(data, ConvolvedData) and data.fine_tuned else None

    def generators(self, purpose: Purpose) -> list[torch.Generator]:
        """Return a generator for each trial, from which everything of one purpose is drawn."""
        return [
            trial_generator(self.settings.seed, self.name, purpose, trial) for trial in self.trials
        ]


@dataclass(frozen=True)
class Start:
    """What a training starts from: the data, the full network at its initialization, and what
    follows from both.

    Training changes `network` in place, so what follows from the initialization is computed before.
    """

    job: Job
    data: Dataset
    mlp: MLP

    @cached_property
    def network(self) -> StackedNetwork:
        """The network that is trained: the full one or a low-rank one, on convolutions or not."""
        parameterization = self.job.cell.parameterization
        if parameterization == "full":
            return self._on_convolutions(self.mlp)
        head = adapted_network(self) if parameterization == "adapters" else low_rank_network(self)
        return self._on_convolutions(head)

    @cached_property
    def first_gradient(self) -> Tensor:
        """G_1(0): (trials, m, d), the gradient in W_1 of the training loss, or of that of
        `first_batch`.
        """
        experiment, generators = self.job.experiment, self.job.generators("first_batch")
        samples = next(batches(self.data.train, experiment.network.first_batch, generators))
        network = self._on_convolutions(self.mlp)
        if isinstance(network, FineTuned):
            with torch.no_grad():
                samples = Split(network.features(samples.inputs), samples.labels, samples.classes)
        return first_gradient(
            self.mlp, experiment.training.objective, samples, experiment.samples_at_once
        )

    @cached_property
    def bases(self) -> list[LayerBases]:
        """The bases of theorem 3.5 in each hidden layer."""
        eps, classes = self.job.experiment.network.eps, self.data.train.classes
        big = big_subspace(self.mlp.hidden_weights[0], self.first_gradient, classes, eps)
        return layer_bases(self.mlp.hidden_weights, big, eps)

    @cached_property
    def _convolutions(self) -> nn.Module | None:
        """The convolutions that are trained, as they start; None if there are none."""
        data = self.job.convolved
        return stored_convolutions(data.convolutions, self.job.weights) if data else None

    def _on_convolutions(self, head: StackedNetwork) -> StackedNetwork:
        """Return a head on convolutions that are trained with it, or the head itself if there are
        none.
        """
        data = self.job.convolved
        if data is None or self._convolutions is None:
            return head
        shape, mixed = IMAGES[data.images].shape, self.job.experiment.training.mixed_precision
        network = FineTuned(
            head, self._convolutions, shape, size=data.size, pool=data.pool, mixed_precision=mixed
        )
        return network.to(self.job.device)


def start_of(job: Job) -> Start:
    """Return what the training of a job starts from. Raises UserError if a stored file is needed
    and not given.
    """
    return Start(job, dataset(job), full_network(job))


def dataset(job: Job) -> Dataset:
    """Return the data, the trials' own or common to all. Raises UserError if a stored file is
    needed and not given.
    """
    data = job.experiment.data
    if isinstance(data, DrawnData):
        return drawn_dataset(data, job.generators("data")).to(job.device)
    if job.stored is None:
        raise UserError(f"experiment {job.name} needs results/data/{data.stored}; name it: --data")
    return stored_dataset(data, job.stored, job.weights if job.convolved else None, job.dtype).to(
        job.device
    )


def full_network(job: Job) -> MLP:
    """Return the full network at its initialization."""
    network, data = job.experiment.network, job.experiment.data
    weights = mlp_weights(
        data.dimension,
        network.width,
        data.classes,
        network.depth,
        eps=network.eps,
        last_eps=network.last_eps,
        generators=job.generators("weights"),
    )
    activation = make_activation(job.cell.activation, job.generators("activation"))
    stacked = [weight.to(job.device, job.dtype) for weight in weights]
    return MLP(stacked, activation, train_last_layer=network.train_last_layer)


def low_rank_network(start: Start) -> LowRankMLP:
    """Return the low-rank network that shares the full network's draw of W_l(0) and W_L(0), at its
    initialization.

    The cores W~_l(0) are the same draw for all ways to choose the factors.
    """
    job, mlp, network = start.job, start.mlp, start.job.experiment.network
    rank, classes, generators = network.rank, start.data.train.classes, job.generators("factors")
    assert rank is not None, "the settings require it"
    cores = [semi_orthogonal(rank, rank, generators, network.eps) for _ in mlp.hidden_weights]
    given = Given(
        [weight.double() for weight in mlp.hidden_weights],
        lambda: start.first_gradient,
        start.data.train.inputs,
        classes,
        network.eps,
        rank,
        network.rotation,
        factors=generators,
        complement=lambda: job.generators("complement"),
    )
    factors: Factors = pkgutil.resolve_name(PARAMETERIZATIONS[job.cell.parameterization].target)(
        given
    )
    v, *cores, u = (matrix.to(job.device, job.dtype) for matrix in (factors.v, *cores, factors.u))
    return LowRankMLP(v, cores, u, mlp.weights[-1].detach(), mlp.activation)


def adapted_network(start: Start) -> AdaptedMLP:
    """Return the full network with adapters on its frozen weights, which computes the same at its
    initialization.
    """
    job, mlp, rank = start.job, start.mlp, start.job.experiment.network.rank
    assert rank is not None, "the settings require it"
    generators = job.generators("factors")
    pairs = [adapters(weight, rank, generators) for weight in mlp.hidden_weights]
    downward, upward = (
        [each.to(job.device, job.dtype) for each in side] for side in zip(*pairs, strict=True)
    )
    return AdaptedMLP([weight.detach() for weight in mlp.weights], downward, upward, mlp.activation)


def observers(start: Start) -> list[Observer]:
    """Return the observers that the settings ask for; those of hidden weights only for the full
    network.
    """
    observe, is_full = start.job.experiment.observe, start.job.cell.parameterization == "full"
    return [
        pkgutil.resolve_name(OBSERVABLES[name].target)(getattr(observe, name), start)
        for name in observe.names
        if is_full or not OBSERVABLES[name].full_only
    ]
