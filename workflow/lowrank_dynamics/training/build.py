"""From settings to what a training begins with: data set, networks, observers. Nothing is trained
or written here.
"""

import pkgutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from lowrank_dynamics.config import networks
from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.registries import (
    IMAGES,
    OBSERVABLES,
    PARAMETERIZATIONS,
    Parameterization,
)
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.data.drawn import drawn_dataset
from lowrank_dynamics.data.loading import stored_convolutions, stored_dataset
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.fine_tuned import FineTuned
from lowrank_dynamics.models.initialization import mlp_weights, semi_orthogonal
from lowrank_dynamics.models.networks import MLP, StackedNetwork, make_activation
from lowrank_dynamics.models.parameterizations import Ingredients
from lowrank_dynamics.models.subspaces import LayerBases, big_subspace, layer_bases
from lowrank_dynamics.models.transformer import TransformerBlock
from lowrank_dynamics.training.device import CPU
from lowrank_dynamics.training.losses import first_layer_gradient, hidden_gradients
from lowrank_dynamics.training.observables.observer import Observer
from lowrank_dynamics.training.projection import Projection, first_blocks
from lowrank_dynamics.training.randomness import Purpose, trial_generator


@dataclass(frozen=True)
class Job:
    """Which trials of which cell are trained, by which settings, and where.

    With one thread a trial gives the same numbers whichever others are stacked with it. On a
    `device` other than the CPU everything is drawn as on the CPU, so that only rounding differs.
    `stored` is the file or folder that earlier jobs wrote, for experiments whose data are not
    drawn; `weights` is the one of pretrained convolutions, for those that train them.
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
    def cell_settings(self) -> CellSettings:
        """The settings that the numbers of the cell depend on."""
        return self.settings.of_variant(self.name, self.cell.variant)

    @property
    def parameterization(self) -> Parameterization:
        """The registry's entry of the cell's parameterization."""
        return PARAMETERIZATIONS[self.cell.parameterization]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of weights and data."""
        return getattr(torch, self.cell_settings.dtype)

    @property
    def files(self) -> list[Path]:
        """Every file with data or pretrained weights that the job reads."""
        if self.stored is None:
            return []
        files = [self.stored / part.file for part in self.cell_settings.data.parts] or [self.stored]
        if self.weights is not None:
            files.append(self.weights)
        return files

    @property
    def convolved(self) -> ConvolvedData | None:
        """The settings of the convolutions that are trained; None if there are none."""
        data = self.cell_settings.data
        if isinstance(data, ConvolvedData) and data.fine_tuned:
            return data
        return None

    def generators(self, purpose: Purpose) -> list[torch.Generator]:
        """Return a generator for each trial, from which everything of one purpose is drawn."""
        seed = self.settings.seed
        return [trial_generator(seed, self.name, purpose, trial) for trial in self.trials]


@dataclass(frozen=True)
class Setup:
    """What a training begins with: the data, the full network at its initialization, and what
    follows from both.

    Training changes `network` in place, so what follows from the initialization is computed before.
    An observable's entry names those of these attributes that it is called with.
    """

    job: Job
    data: Dataset
    mlp: MLP

    @property
    def activation(self) -> nn.Module:
        """The module of phi."""
        return self.mlp.activation

    @property
    def eps(self) -> float:
        """The scale of the initial hidden weights."""
        return self.job.cell_settings.network.eps

    @property
    def objective(self) -> str:
        """What is minimized: a name in `OBJECTIVES`."""
        return self.job.cell_settings.training.objective

    @property
    def subspace_reference(self) -> int:
        """The step from which on a weight may be the reference of subspace movement."""
        return self.job.cell_settings.observe.subspace_reference

    @property
    def samples_at_once(self) -> int | None:
        """The samples that go through a network at a time; None for all."""
        return self.job.cell_settings.samples_at_once

    @cached_property
    def initial_weights(self) -> list[Tensor]:
        """W_1(0) .. W_{L-1}(0) of the full network: (trials, m, n), which no training changes."""
        return [weight.clone() for weight in self.mlp.hidden_weights]

    @cached_property
    def initial_gradient(self) -> Tensor:
        """G_1(0): (trials, m, d), the gradient in W_1 of the training loss, or of that of
        `first_batch`.
        """
        samples = self._first_samples()
        return first_layer_gradient(self.mlp, self.objective, samples, self.samples_at_once)

    @cached_property
    def hidden_gradients(self) -> list[Tensor]:
        """G_1(0) .. G_{L-1}(0): (trials, m, n), the gradients of the same loss in all hidden
        weights.
        """
        samples = self._first_samples()
        return hidden_gradients(self.mlp, self.objective, samples, self.samples_at_once)

    def _first_samples(self) -> Split:
        """Return the samples whose gradient defines S_big, as the MLP gets them: features, if
        convolutions are trained below it.
        """
        size = self.job.cell_settings.network.first_batch
        samples = next(batches(self.data.train, size, self.job.generators("first_batch")))
        network = self._on_convolutions(self.mlp)
        if not isinstance(network, FineTuned):
            return samples
        with torch.no_grad():
            features = network.features(samples.inputs)
        return Split(features, samples.labels, samples.classes)

    @cached_property
    def bases(self) -> list[LayerBases]:
        """The bases of theorem 3.5 in each hidden layer."""
        weights, gradient = self.mlp.hidden_weights, self.initial_gradient
        classes = self.job.cell_settings.observe.block_rank or self.data.train.classes
        big = big_subspace(weights[0], gradient, classes, self.eps)
        keeps_lengths = all(weight.shape[-2] >= weight.shape[-1] for weight in weights)
        return layer_bases(weights, big, self.eps if keeps_lengths else None)

    @cached_property
    def projection(self) -> Projection | None:
        """What restricts the updates of hidden layers; None if nothing does."""
        training = self.job.cell_settings.training
        if training.project is None:
            return None
        rank = 2 * self.data.train.classes
        bases: list[LayerBases] = []
        if training.block == "s_big" and training.project != "frozen":
            bases = self.bases
        elif training.block == "random":
            weights = self.mlp.hidden_weights
            generators = self.job.generators("projection")
            drawn = semi_orthogonal(weights[0].shape[-1], rank, generators)
            bases = layer_bases(weights, drawn.to(weights[0]), self.eps)
        return Projection(training.project, first_blocks(bases), training.renew_every, rank)

    @cached_property
    def network(self) -> StackedNetwork:
        """The network that is trained, on convolutions or not."""
        job, settings = self.job, self.job.cell_settings.network
        ingredients = Ingredients(
            matrices=networks.matrices(job.cell_settings, job.cell.parameterization),
            mlp=self.mlp,
            initial_gradient=lambda: self.initial_gradient,
            hidden_gradients=lambda: self.hidden_gradients,
            inputs=self.data.train.inputs,
            classes=self.data.train.classes,
            eps=self.eps,
            rotation=settings.rotation,
            cores=settings.cores,
            extra_columns=settings.extra_columns,
            complements=settings.complements,
            factor_generators=lambda: job.generators("factors"),
            complement_generators=lambda: job.generators("complement"),
        )
        head = pkgutil.resolve_name(job.parameterization.target)(ingredients)
        return self._on_convolutions(head)

    @cached_property
    def _convolutions(self) -> nn.Module | None:
        """The convolutions that are trained, as they are initialized; None if there are none."""
        data = self.job.convolved
        if data is None:
            return None
        return stored_convolutions(data.convolutions, self.job.weights)

    def _on_convolutions(self, head: StackedNetwork) -> StackedNetwork:
        """Return a head on convolutions that are trained with it, or the head itself if there are
        none.
        """
        data = self.job.convolved
        if data is None or self._convolutions is None:
            return head
        network = FineTuned(
            head,
            self._convolutions,
            IMAGES[data.images].shape,
            size=data.size,
            pool=data.pool,
            mixed_precision=self.job.cell_settings.training.mixed_precision,
        )
        return network.to(self.job.device)


def setup_of(job: Job) -> Setup:
    """Return what the training of a job begins with. Raises UserError if a stored file is needed
    and not given.
    """
    return Setup(job, dataset(job), full_network(job))


def dataset(job: Job) -> Dataset:
    """Return the data, drawn for each trial or common to all. Raises UserError if a stored file is
    needed and not given.
    """
    data = job.cell_settings.data
    if isinstance(data, DrawnData):
        return drawn_dataset(data, job.generators("data")).to(job.device)
    if job.stored is None:
        raise UserError(f"experiment {job.name} needs results/data/{data.stored}; name it: --data")
    weights = job.weights if job.convolved else None
    return stored_dataset(data, job.stored, weights, job.dtype).to(job.device)


def full_network(job: Job) -> MLP:
    """Return the full network at its initialization, which low-rank networks are made from; for
    them it is another draw unless the settings say that they share it.
    """
    network = job.cell_settings.network
    purpose: Purpose = "weights"
    if job.parameterization.low_rank and not network.shares_draw:
        purpose = "low_rank_weights"
    of_full = networks.full(job.cell_settings)
    around, of_mlp = of_full[: -network.depth], of_full[-network.depth :]
    generators = job.generators(purpose)
    weights = mlp_weights(of_mlp, eps=network.eps, last_eps=network.last_eps, generators=generators)
    activation = make_activation(job.cell.activation, job.generators("activation"))
    stacked = [weight.to(job.device, job.dtype) for weight in weights]
    if not around:
        return MLP(stacked, activation, train_last_layer=network.train_last_layer)
    _, tokens, _ = IMAGES[job.cell_settings.data.source].shape
    drawn = [semi_orthogonal(matrix.rows, matrix.columns, generators) for matrix in around]
    attention = [weight.to(job.device, job.dtype) for weight in drawn]
    return TransformerBlock(stacked, attention, activation, tokens)


def observers(setup: Setup) -> list[Observer]:
    """Return the observers that the settings ask for; those of hidden weights only where the full
    network's are trained.
    """
    observe, parameterization = setup.job.cell_settings.observe, setup.job.parameterization
    created = []
    for name in observe.names:
        entry = OBSERVABLES[name]
        if entry.of_hidden_weights and parameterization.low_rank:
            continue
        given = {attribute: getattr(setup, attribute) for attribute in entry.given}
        observer = pkgutil.resolve_name(entry.target)(getattr(observe, name), **given)
        created.append(observer)
    return created
