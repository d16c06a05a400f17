"""One cell from settings to measurements: its data, its network, its observers, its training."""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from lowrank_dynamics import metrics
from lowrank_dynamics.checkpoints import Checkpoint, training_key
from lowrank_dynamics.config import Cell, ConvolvedData, DrawnData, Experiment, Settings
from lowrank_dynamics.data import Dataset, Split
from lowrank_dynamics.data.drawn import drawn_dataset
from lowrank_dynamics.devices import CPU, description, peak_megabytes
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.initialization import (
    big_factors,
    first_gradient,
    mlp_weights,
    random_factors,
    rotated_factor,
    semi_orthogonal,
    widened_factor,
)
from lowrank_dynamics.metrics import Measurement
from lowrank_dynamics.networks import MLP, LowRankMLP, make_activation
from lowrank_dynamics.observables import (
    BlockShares,
    FirstGradient,
    GradientSpectrum,
    LossAndAccuracy,
    Observer,
    SingularStructure,
)
from lowrank_dynamics.provenance import provenance
from lowrank_dynamics.randomness import Purpose, trial_generators
from lowrank_dynamics.subspaces import LayerBases, big_subspace, layer_bases
from lowrank_dynamics.training import learning_rate, train
from lowrank_dynamics.vgg import fine_tuning
from lowrank_dynamics.vgg.convolutions import make_convolutions
from lowrank_dynamics.vgg.fine_tuning import FineTuned


@dataclass(frozen=True)
class CellRun:
    """The stacked trials of one cell, ready to train.

    `trials` says which of the experiment's trials are in the stack; a trial gives the same numbers whichever others
    are. `stored_data` is the file that the stages before wrote, for experiments whose data are not synthetic, `weights`
    the one with those of pretrained convolutions, for experiments that train them further. On another `device` than the
    processor everything is drawn as there, so that only rounding makes a difference.
    """

    settings: Settings
    name: str
    cell: Cell
    trials: range
    stored_data: Path | None = None
    weights: Path | None = None
    device: torch.device = CPU

    @cached_property
    def experiment(self) -> Experiment:
        """The settings of the cell: those of its experiment, with the changes of its variant."""
        return self.settings.experiment(self.name).of_variant(self.cell.variant)

    @cached_property
    def data(self) -> Dataset:
        """The data, the trials' own or common to all. Raises UserError if a stored file is needed and not given."""
        data = self.experiment.data
        if isinstance(data, DrawnData):
            return drawn_dataset(data, self._generators("data")).to(self.device)
        if self.stored_data is None:
            raise UserError(f"experiment {self.name} needs the file of its {data.stored}; name it with --data")
        if self._trains_convolutions:
            return fine_tuning.load(self.stored_data, self.weights, self.dtype).to(self.device)
        return pkgutil.resolve_name(data.loaded_by)(self.stored_data, self.dtype).to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of weights and data."""
        return getattr(torch, self.experiment.dtype)

    def measurements(self, checkpoint: Checkpoint | None = None) -> Iterator[Measurement]:
        """Train the cell and yield what is measured on the way, the outcome being the same every time.

        With a `checkpoint`, which `checkpoint` makes, a training that was cut off goes on where it was.
        """
        mlp = self.mlp()
        head = mlp if self.cell.parameterization == "full" else self.low_rank_mlp(mlp)
        return train(
            self.fine_tuned(head) if self._trains_convolutions else head,
            self.data.train,
            self.experiment.training,
            self.observers(mlp),
            generators=self._generators("batches"),
            check_every=self.experiment.observe.loss,
            name=f"{self.name} {self.cell.name}",
            checkpoint=checkpoint,
        )

    def table(self, checkpoint: Checkpoint | None = None) -> pa.Table:
        """Train the cell and return what is measured on the way as the tidy table of the cell.

        Raises UserError, which says what to lower, if the device has too little memory.
        """
        try:
            return metrics.table(self.name, self.cell, self.measurements(checkpoint))
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise UserError(
                f"{self.name} {self.cell.name} does not fit into the memory of the device "
                f"{description(self.device)}; lower trials, training.batch_size, data.size or the number of images, "
                "or run fewer jobs at once"
            ) from error

    def provenance(self, scale: str, *, threads: int, started: datetime) -> dict[str, Any]:
        """Return, ready for JSON, what the numbers of the cell depend on, and the time and memory until now."""
        return provenance(
            self.settings,
            scale,
            self.name,
            self.cell.variant,
            data_origin=self.data.origin,
            device=description(self.device),
            megabytes=peak_megabytes(self.device),
            threads=threads,
            started=started,
        )

    def checkpoint(self, path: Path, every: float) -> Checkpoint:
        """Return a checkpoint for this cell at `path`, written at most every so many seconds."""
        digest = self.settings.digest(self.name, self.cell.variant)
        parts = (self.name, self.cell.name, str(self.trials), digest, str(self.data.origin), description(self.device))
        return Checkpoint(path, training_key(*parts), every)

    def mlp(self) -> MLP:
        """Return the full network at its initialization."""
        network, data = self.experiment.network, self.experiment.data
        weights = mlp_weights(
            data.dimension,
            network.width,
            data.classes,
            network.depth,
            scale=network.scale,
            last_scale=network.last_scale,
            generators=self._generators("weights"),
        )
        activation = make_activation(self.cell.activation, self._generators("activation"))
        stacked = [weight.to(self.device, self.dtype) for weight in weights]
        return MLP(stacked, activation, train_last_layer=network.train_last_layer)

    def low_rank_mlp(self, mlp: MLP) -> LowRankMLP:
        """Return the low-rank network that shares the full network's draw of W_l(0) and W_L(0), at its initialization.

        The cores W~_l(0) are the same draw for both ways to choose the factors.
        """
        network, data = self.experiment.network, self.experiment.data
        assert network.rank is not None
        generators = self._generators("factors")
        cores = [semi_orthogonal(network.rank, network.rank, generators, network.scale) for _ in mlp.hidden_weights]
        if self.cell.parameterization == "s_big":
            hidden = [weight.double() for weight in mlp.hidden_weights]
            big = big_factors(hidden, self.first_gradient(mlp).double(), data.classes, network.scale)
            factors = [self._beyond_big(factor.cpu()) for factor in big]
        else:
            factors = [*random_factors(data.dimension, network.width, network.rank, generators)]
        input_factor, *inner, output_factor = (
            factor.to(self.device, self.dtype) for factor in (factors[0], *cores, factors[1])
        )
        return LowRankMLP(input_factor, inner, output_factor, mlp.weights[-1].detach(), mlp.activation)

    def fine_tuned(self, head: MLP | LowRankMLP) -> FineTuned:
        """Return a head on convolutions that are trained with it."""
        data = self.experiment.data
        assert isinstance(data, ConvolvedData)
        return FineTuned(
            head,
            make_convolutions(data.convolutions, self.weights),
            data.image_shape,
            size=data.size,
            pool=data.pool,
            mixed_precision=self.experiment.training.mixed_precision,
        ).to(self.device)

    def first_gradient(self, mlp: MLP) -> Tensor:
        """Return G_1(0): (trials, m, d), the gradient in W_1 of the training loss, or of that of `first_batch`."""
        return first_gradient(mlp, self.experiment.training.objective, self._first_samples(mlp))

    def observers(self, mlp: MLP) -> list[Observer]:
        """Return the observers that the settings ask for; those of hidden weights only for the full network."""
        observe, train, classes = self.experiment.observe, self.data.train, self.experiment.data.classes
        objective, scale = self.experiment.training.objective, self.experiment.network.scale
        observers: list[Observer] = [LossAndAccuracy(observe.loss, objective, train, self.data.test)]
        if self.cell.parameterization != "full":
            return observers
        if observe.singular_structure is not None:
            observers.append(SingularStructure(observe.singular_structure, classes))
        if observe.block_shares is not None or observe.gradient is not None:
            observers += self._block_observers(mlp)
        if observe.start_scales:
            observers.append(FirstGradient(observe.start_scales, scale, classes, objective, train))
        return observers

    def bases(self, mlp: MLP, gradient: Tensor) -> list[LayerBases]:
        """Return the bases of theorem 3.5 in each hidden layer, from the initial weights and `gradient` G_1(0)."""
        scale = self.experiment.network.scale
        big = big_subspace(mlp.hidden_weights[0], gradient, self.experiment.data.classes, scale)
        return layer_bases(mlp.hidden_weights, big, scale)

    def _block_observers(self, mlp: MLP) -> Iterator[Observer]:
        """Yield those of the observers asked for that need the bases of theorem 3.5."""
        observe, train, gradient = self.experiment.observe, self.data.train, self.first_gradient(mlp)
        bases = self.bases(mlp, gradient)
        if observe.block_shares is not None:
            yield BlockShares(observe.block_shares, [weight.clone() for weight in mlp.hidden_weights], bases)
        if observe.gradient is not None:
            yield GradientSpectrum(
                observe.gradient,
                classes=self.experiment.data.classes,
                first_gradient=gradient,
                bases=bases[0],
                signal=mlp.weights[-1].detach().mT @ train.targets @ train.inputs.mT,
                learning_rate=partial(learning_rate, self.experiment.training),
            )

    def _beyond_big(self, factor: Tensor) -> Tensor:
        """Return a factor (trials, n, 2K) of S_big, turned by `rotation` and widened to `rank` columns."""
        network, generators = self.experiment.network, self._generators("complement")
        assert network.rank is not None
        if network.rank > factor.shape[-1]:
            return widened_factor(factor, network.rank, generators)
        return rotated_factor(factor, network.rotation, generators)

    def _first_samples(self, mlp: MLP) -> Split:
        """Return the samples that S_big is found from, as the MLP sees them."""
        train, size = self.data.train, self.experiment.network.first_batch
        if size is not None:
            count = train.inputs.shape[-1]
            orders = [torch.randperm(count, generator=generator) for generator in self._generators("first_batch")]
            train = train.at(torch.stack(orders)[:, :size].to(self.device))
        if not self._trains_convolutions:
            return train
        with torch.no_grad():
            return Split(self.fine_tuned(mlp).features(train.inputs), train.labels, train.classes)

    @property
    def _trains_convolutions(self) -> bool:
        data = self.experiment.data
        return isinstance(data, ConvolvedData) and data.fine_tuned

    def _generators(self, purpose: Purpose) -> list[torch.Generator]:
        return trial_generators(self.settings.seed, self.name, purpose, self.trials)
