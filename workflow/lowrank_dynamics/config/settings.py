"""All settings of one scale, and the cells of its experiments."""

import inspect
from typing import Literal, NamedTuple

from pydantic import Field

from lowrank_dynamics.config.base import Frozen, Name
from lowrank_dynamics.config.cards import Gpu
from lowrank_dynamics.config.cell import BASE, CellSettings, Shared
from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.registries import (
    CONVOLUTIONS,
    DESCRIPTIVE,
    IMAGES,
    OBSERVABLES,
    OPTIMIZERS,
    PARAMETERIZATIONS,
    Activation,
    Convolutions,
    Images,
    Observable,
    Optimizer,
    Parameterization,
    activation,
)
from lowrank_dynamics.errors import UserError

_Entry = Activation | Parameterization | Optimizer | Observable | Convolutions | Images


class Cell(NamedTuple):
    """One job's combination of an experiment's values; its fields are columns of the metrics."""

    activation: str
    parameterization: str
    variant: str = BASE

    @property
    def name(self) -> str:
        """The cell's part of a path, such as `gelu-s_big` or, for a variant, `gelu-full-adam`."""
        return "-".join(self if self.variant != BASE else self[:2])


def shard_name(trials: range) -> str:
    """Return the part of a path that names a job's trials, such as `0-4` for the first five."""
    return f"{trials.start}-{trials.stop - 1}"


def shard_of(name: str) -> range:
    """Return the trials that `shard_name` named. Raises UserError for any other text."""
    first, dash, last = name.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise UserError(
            f"the trials of a job are the first and the last, such as 0-4, and not {name!r}"
        )
    return range(int(first), int(last) + 1)


class Settings(Frozen):
    """All settings of one scale."""

    seed: int = Field(ge=0, lt=2**63, description="the root of every random draw")
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="where networks are trained; auto: cuda if there is one"
    )
    gpu: Gpu = Field(
        description=(
            "what time and memory are requested for: a GPU of cards.py, or operations a second"
        )
    )
    experiments: dict[Name, Experiment]

    def experiment(self, name: str) -> Experiment:
        """Return the experiment called `name`. Raises UserError, listing the names, if there is
        none.
        """
        if name not in self.experiments:
            raise UserError(
                f"there is no experiment {name!r}; choose one of {', '.join(self.experiments)}"
            )
        return self.experiments[name]

    def limited(self, trials: int | None, trials_per_job: int | None) -> "Settings":
        """Return the settings with at most `trials` per experiment and `trials_per_job` per job."""
        experiments = {}
        for name, each in self.experiments.items():
            count = min(each.trials, trials or each.trials)
            size = trials_per_job or each.trials_per_job
            changes = {"trials": count, "trials_per_job": size and min(size, count)}
            experiments[name] = each.model_copy(update=changes)
        return self.model_copy(update={"experiments": experiments})

    def on(self, gpu: Gpu | None) -> "Settings":
        """Return the settings with another GPU to request time and memory for, if one is named."""
        return self if gpu is None else self.model_copy(update={"gpu": gpu})

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of the experiment called `name`."""
        experiment = self.experiment(name)
        return [
            Cell(phi, parameterization, variant)
            for variant in experiment.variants
            for phi in experiment.activations
            for parameterization in experiment.parameterizations_of(variant)
        ]

    def cell(self, name: str, cell: str) -> Cell:
        """Return the cell called `cell` of the experiment called `name`. Raises UserError if there
        is none.
        """
        by_name = {cell.name: cell for cell in self.cells(name)}
        if cell not in by_name:
            raise UserError(f"{name} has no cell {cell!r}; choose one of {', '.join(by_name)}")
        return by_name[cell]

    def of_variant(self, name: str, variant: str = BASE) -> CellSettings:
        """Return the settings that the numbers of a variant's cells depend on."""
        experiment = self.experiment(name).of_variant(variant)
        return CellSettings(
            seed=self.seed, **{field: getattr(experiment, field) for field in Shared.model_fields}
        )

    def registered(self, name: str, cell: Cell) -> list[str]:
        """Return the registry entries that a cell uses, without the fields that no number depends
        on.

        The entry of a data set is the code of its settings.
        """
        data = self.experiment(name).data
        entries: list[_Entry] = [*self._entries(name, cell)]
        if isinstance(data, ConvolvedData):
            entries += [CONVOLUTIONS[data.convolutions], IMAGES[data.images]]
        used = [
            {key: value for key, value in each._asdict().items() if key not in DESCRIPTIVE}
            for each in entries
        ]
        code = [
            inspect.getsource(each)
            for each in type(data).mro()
            if each.__module__ == DrawnData.__module__
        ]
        return [*map(str, used), *code]

    def modules(self, name: str, cell: Cell) -> list[str]:
        """Return the modules of this package that a cell uses by name: those of its data and its
        entries.
        """
        modules = [
            entry.target.partition(":")[0].partition(".") for entry in self._entries(name, cell)
        ]
        own = [module for package, _, module in modules if package == "lowrank_dynamics"]
        return [f"data.{self.experiment(name).data.source}", *own]

    def _entries(
        self, name: str, cell: Cell
    ) -> list[Activation | Parameterization | Optimizer | Observable]:
        experiment = self.experiment(name).of_variant(cell.variant)
        observed = [OBSERVABLES[observable] for observable in experiment.observe.names]
        phi, parameterization = (
            activation(cell.activation),
            PARAMETERIZATIONS[cell.parameterization],
        )
        return [phi, parameterization, OPTIMIZERS[experiment.training.optimizer], *observed]
