"""One cell from settings to measurements: its data, its network, its observers, its training."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from lowrank_dynamics.config import Cell, Experiment, FashionMnistData, Settings
from lowrank_dynamics.data import Dataset
from lowrank_dynamics.data.clusters import clusters_dataset
from lowrank_dynamics.data.fashion_mnist import load
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.initialization import (
    big_factors,
    first_gradient,
    mlp_weights,
    random_factors,
    rotated_factor,
    semi_orthogonal,
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
from lowrank_dynamics.randomness import Purpose, trial_generators
from lowrank_dynamics.subspaces import LayerBases, big_subspace, layer_bases
from lowrank_dynamics.training import learning_rate, train


@dataclass(frozen=True)
class CellRun:
    """The stacked trials of one cell, ready to train.

    `trials` says which of the experiment's trials are in the stack; a trial gives the same numbers whichever others
    are. `prepared_data` is the file that the data stage wrote, for experiments whose data are not synthetic.
    """

    settings: Settings
    name: str
    cell: Cell
    trials: range
    prepared_data: Path | None = None

    @cached_property
    def experiment(self) -> Experiment:
        """The settings of the cell: those of its experiment, with the changes of its variant."""
        return self.settings.experiment(self.name).of_variant(self.cell.variant)

    @cached_property
    def data(self) -> Dataset:
        """The data, the trials' own or common to all. Raises UserError if a prepared file is needed and not given."""
        data = self.experiment.data
        if isinstance(data, FashionMnistData):
            if self.prepared_data is None:
                raise UserError(f"experiment {self.name} needs the prepared Fashion-MNIST file; name it with --data")
            return load(self.prepared_data, self.dtype)
        return clusters_dataset(
            data.dimension,
            data.classes,
            data.samples,
            data.separation,
            whitened=data.whitened,
            generators=self._generators("data"),
        )

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of weights and data."""
        return getattr(torch, self.experiment.dtype)

    def measurements(self) -> Iterator[Measurement]:
        """Train the cell and yield what is measured on the way, the outcome being the same every time."""
        mlp = self.mlp()
        network = mlp if self.cell.parameterization == "full" else self.low_rank_mlp(mlp)
        return train(
            network,
            self.data.train,
            self.experiment.training,
            self.observers(mlp),
            generators=self._generators("batches"),
            check_every=self.experiment.observe.loss,
            name=f"{self.name} {self.cell.name}",
        )

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
        return MLP([weight.to(self.dtype) for weight in weights], activation, train_last_layer=network.train_last_layer)

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
            complement = self._generators("complement")
            factors = [rotated_factor(factor, network.rotation, complement) for factor in big]
        else:
            factors = [*random_factors(data.dimension, network.width, network.rank, generators)]
        input_factor, output_factor = (factor.to(self.dtype) for factor in factors)
        last = mlp.weights[-1].detach()
        return LowRankMLP(input_factor, [core.to(self.dtype) for core in cores], output_factor, last, mlp.activation)

    def first_gradient(self, mlp: MLP) -> Tensor:
        """Return G_1(0): (trials, m, d), the gradient of the training loss in W_1."""
        return first_gradient(mlp, self.experiment.training.objective, self.data.train)

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

    def _generators(self, purpose: Purpose) -> list[torch.Generator]:
        return trial_generators(self.settings.seed, self.name, purpose, self.trials)
