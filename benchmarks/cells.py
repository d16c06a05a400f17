"""Cells of the laptop scale to be timed, with what a benchmark changes of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Prepared
from lowrank_dynamics.cells import CellRun
from lowrank_dynamics.config import Cell, Experiment, Settings, load_settings
from lowrank_dynamics.config.frozen import changed
from lowrank_dynamics.data import Dataset, Split, fashion_mnist
from lowrank_dynamics.devices import CPU
from lowrank_dynamics.networks import MLP
from lowrank_dynamics.observables import Observer

IMAGES = Path("results/benchmarks/images.safetensors")


@dataclass(frozen=True)
class Unobserved(CellRun):
    """A cell that takes its steps and measures nothing, with its images repeated so many `times`."""

    times: int = 1

    @cached_property
    def data(self) -> Dataset:
        """The data of the cell, its samples one after another as often as asked for."""
        once = super().data
        if self.times == 1:
            return once
        images, labels = once.train.inputs.repeat(1, self.times), once.train.labels.repeat(self.times)
        return replace(once, train=Split(images, labels, once.train.classes))

    def observers(self, mlp: MLP) -> list[Observer]:  # noqa: ARG002 (nothing is measured on it)
        """Return none."""
        return []


def settings_of(name: str, changes: dict[str, Any]) -> Settings:
    """Return the laptop settings, on the processor, with changes of one experiment, which is the only one."""
    settings = load_settings("laptop")
    experiment = changed(settings.experiment(name).model_dump(), changes)
    experiments = {name: Experiment.model_validate(experiment)}
    return settings.model_copy(update={"device": "cpu", "experiments": experiments})


def cell_of(name: str, cell: Cell, changes: dict[str, Any]) -> CellRun:
    """Return a cell with all its trials; images are prepared if it needs them."""
    settings = settings_of(name, changes)
    trials = range(settings.experiment(name).trials)
    return CellRun(settings, name, cell, trials, _images(settings.experiment(name)))


def unobserved(
    name: str, cell: Cell, changes: dict[str, Any], device: torch.device = CPU, *, times: int = 1
) -> Unobserved:
    """Return the same of which nothing is measured, on any device."""
    of = cell_of(name, cell, changes)
    return Unobserved(of.settings, name, cell, of.trials, of.stored_data, device=device, times=times)


def _images(experiment: Experiment) -> Path | None:
    """Return the file of an experiment's images, prepared if need be; None if it has none."""
    if experiment.data.stored != "images":
        return None
    path = IMAGES.with_stem(f"{IMAGES.stem}-{experiment.data.training_samples}")
    if not path.exists():
        fashion_mnist.prepare(experiment.data.training_samples, 1000, path)
    return path


def training(run: CellRun) -> Prepared:
    """Return the training of a cell; its data and its networks are there before the time begins."""

    def prepared() -> Callable[[], object]:
        measurements = run.measurements()
        return lambda: deque(measurements, maxlen=0)

    return prepared
