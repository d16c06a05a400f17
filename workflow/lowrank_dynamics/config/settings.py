"""All settings of one scale, and the cells of its experiments."""

from typing import Any

from pydantic import Field

from lowrank_dynamics.config.base import Frozen, Name
from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.cards import Gpu
from lowrank_dynamics.config.cell import BASE, Cell
from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.devices import Device
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.registries import (
    CONVOLUTIONS,
    DESCRIPTIVE,
    IMAGES,
    OBSERVABLES,
    OPTIMIZERS,
    PARAMETERIZATIONS,
    activation,
)
from lowrank_dynamics.errors import UserError

DERIVED = ("dimension", "classes", "training_samples", "test_images", "stored")
"""What a data set's class computes from its settings, or fixes, and numbers depend on."""


class Settings(Frozen):
    """All settings of one scale."""

    seed: int = Field(ge=0, lt=2**63, description="the root of every random draw")
    device: Device = Field(description="where networks are trained; auto: cuda if there is one")
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
        for name, experiment in self.experiments.items():
            count = min(experiment.trials, trials or experiment.trials)
            size = trials_per_job or experiment.trials_per_job
            changes = {"trials": count, "trials_per_job": size and min(size, count)}
            experiments[name] = experiment.model_copy(update=changes)
        return self.model_copy(update={"experiments": experiments})

    def on(self, gpu: Gpu | None) -> "Settings":
        """Return the settings with another GPU to request time and memory for, if one is named."""
        return self if gpu is None else self.model_copy(update={"gpu": gpu})

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of the experiment called `name`."""
        experiment = self.experiment(name)
        cells = []
        for name_of_variant, variant in experiment.variants.items():
            for phi in experiment.activations:
                for parameterization in variant.parameterizations:
                    cells.append(Cell(phi, parameterization, name_of_variant))
        return cells

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
        shared = self.experiment(name).of_variant(variant)
        return CellSettings(seed=self.seed, **dict(shared))

    def registered(self, name: str, cell: Cell) -> list[str]:
        """Return what a cell's numbers depend on besides its settings and its code: the values that
        follow from the settings of its data, and the registry entries that it uses, without the
        fields that no number depends on.
        """
        data = self.of_variant(name, cell.variant).data
        entries = self._entries(name, cell)
        if isinstance(data, ConvolvedData):
            entries += [CONVOLUTIONS[data.convolutions], IMAGES[data.images]]
        derived = {field: getattr(data, field) for field in DERIVED}
        texts = [str(derived)]
        for entry in entries:
            fields = entry._asdict()
            for descriptive in DESCRIPTIVE:
                fields.pop(descriptive, None)
            texts.append(str(fields))
        return texts

    def modules(self, name: str, cell: Cell) -> list[str]:
        """Return the modules of this package that a cell uses by name: those of its data and its
        entries.
        """
        data = self.of_variant(name, cell.variant).data
        modules = [f"data.{data.module}"]
        for entry in self._entries(name, cell):
            package, _, module = entry.target.partition(":")[0].partition(".")
            if package == "lowrank_dynamics":
                modules.append(module)
        return modules

    def _entries(self, name: str, cell: Cell) -> list[Any]:
        """Return the registry entries that a cell's code depends on."""
        settings = self.of_variant(name, cell.variant)
        return [
            activation(cell.activation),
            PARAMETERIZATIONS[cell.parameterization],
            OPTIMIZERS[settings.training.optimizer],
            *[OBSERVABLES[observable] for observable in settings.observe.names],
        ]
