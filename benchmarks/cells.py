"""Cells of the laptop scale to be timed, with what a benchmark changes of them."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import Prepared
from lowrank_dynamics.cells import CellRun
from lowrank_dynamics.config import Cell, Experiment, Settings, load_settings
from lowrank_dynamics.config.frozen import changed
from lowrank_dynamics.data import fashion_mnist
from lowrank_dynamics.networks import MLP
from lowrank_dynamics.observables import Observer

IMAGES = Path("results/benchmarks/images.safetensors")


class Unobserved(CellRun):
    """A cell that takes its steps and measures nothing."""

    def observers(self, mlp: MLP) -> list[Observer]:  # noqa: ARG002 (nothing is measured on it)
        """Return none."""
        return []


def settings_of(name: str, changes: dict[str, Any]) -> Settings:
    """Return the laptop settings, on the processor, with changes of one experiment, which is the only one."""
    settings = load_settings("laptop")
    experiment = changed(settings.experiment(name).model_dump(), changes)
    experiments = {name: Experiment.model_validate(experiment)}
    return settings.model_copy(update={"device": "cpu", "experiments": experiments})


def cell_of(name: str, cell: Cell, changes: dict[str, Any], *, observed: bool = True) -> CellRun:
    """Return a cell with all its trials; images are prepared if it needs them."""
    settings = settings_of(name, changes)
    experiment = settings.experiment(name)
    stored = None
    if experiment.data.stored == "images":
        stored = IMAGES.with_stem(f"{IMAGES.stem}-{experiment.data.training_samples}")
        if not stored.exists():
            fashion_mnist.prepare(experiment.data.training_samples, 1000, stored)
    kind = CellRun if observed else Unobserved
    return kind(settings, name, cell, range(experiment.trials), stored)


def training(name: str, cell: Cell, *changes: dict[str, Any], observed: bool = True) -> Prepared:
    """Return the training of a cell; its data and its networks are there before the time begins."""
    merged: dict[str, Any] = {}
    for change in changes:
        merged = changed(merged, change)
    run = cell_of(name, cell, merged, observed=observed)

    def prepared() -> Callable[[], object]:
        measurements = run.measurements()
        return lambda: deque(measurements, maxlen=0)

    return prepared
