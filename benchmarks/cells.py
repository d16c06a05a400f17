"""Cells of the laptop scale to be timed, with what a benchmark changes of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Prepared
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.overlay import Layer, overlaid
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.data import fashion_mnist
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.training.build import Job, Setup, observers, setup_of
from lowrank_dynamics.training.device import CPU
from lowrank_dynamics.training.loop import train

IMAGES = Path("results/benchmarks/images.safetensors")
Changes = dict[str, Any]


def settings_of(name: str, *changes: Changes, scale: str = "laptop") -> Settings:
    """Return the settings of a scale, on the CPU, with changes of one experiment, which is the only
    one.
    """
    settings = Run(Path(), scale).settings
    content = {"experiments": {name: settings.experiment(name).model_dump(mode="json")}}
    for change in changes:
        content = overlaid(content, Layer("benchmark", {"experiments": {name: change}}))
    experiments = {name: Experiment.model_validate(content["experiments"][name])}
    return settings.model_copy(update={"device": "cpu", "experiments": experiments})


def setup(
    name: str,
    cell: Cell,
    *changes: Changes,
    device: torch.device = CPU,
    times: int = 1,
    scale: str = "laptop",
) -> Setup:
    """Return what the training of a cell begins with, with all trials and its samples repeated so
    many `times`.

    Images are prepared if it needs them.
    """
    settings = settings_of(name, *changes, scale=scale)
    experiment = settings.experiment(name)
    trials = range(experiment.trials)
    job = Job(settings, name, cell, trials, _images(experiment), device=device)
    once = setup_of(job)
    if times == 1:
        return once
    train = once.data.train
    repeated = Split(train.inputs.repeat(1, times), train.labels.repeat(times), train.classes)
    return replace(once, data=replace(once.data, train=repeated))


def _images(experiment: Experiment) -> Path | None:
    """Return the file of an experiment's images, prepared if need be; None if it has none."""
    if experiment.data.stored is None:
        return None
    path = IMAGES.with_stem(
        f"{IMAGES.stem}-{experiment.data.training_samples}-{experiment.data.test_images}"
    )
    if not path.exists():
        fashion_mnist.prepare(experiment.data.training_samples, experiment.data.test_images, path)
    return path


def training(setup: Setup, *, observed: bool = False) -> Prepared:
    """Return a training, with or without what it observes; data and networks are there before the
    time begins.
    """

    def prepared() -> Callable[[], object]:
        measurements = train(setup, observers(setup) if observed else [])
        return lambda: deque(measurements, maxlen=0)

    return prepared
