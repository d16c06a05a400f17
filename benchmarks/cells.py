"""Cells of the laptop scale to be timed, with what a benchmark changes of them."""

from collections import deque
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Prepared
from lowrank_dynamics.config.base import merged
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.data import fashion_mnist
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.training.build import Job, Start, observers, start_of
from lowrank_dynamics.training.device import CPU
from lowrank_dynamics.training.loop import train

IMAGES = Path("results/benchmarks/images.safetensors")
Changes = dict[str, Any]


def settings_of(name: str, *changes: Changes) -> Settings:
    """Return the laptop settings, on the CPU, with changes of one experiment, which is the only
    one.
    """
    settings = load_settings("laptop")
    experiment = reduce(merged, changes, settings.experiment(name).model_dump())
    experiments = {name: Experiment.model_validate(experiment)}
    return settings.model_copy(update={"device": "cpu", "experiments": experiments})


def start(
    name: str, cell: Cell, *changes: Changes, device: torch.device = CPU, times: int = 1
) -> Start:
    """Return what the training of a cell starts from, with all trials and its samples repeated so
    many `times`.

    Images are prepared if it needs them.
    """
    settings = settings_of(name, *changes)
    experiment = settings.experiment(name)
    began = start_of(
        Job(settings, name, cell, range(experiment.trials), _images(experiment), device=device)
    )
    if times == 1:
        return began
    train = began.data.train
    repeated = Split(train.inputs.repeat(1, times), train.labels.repeat(times), train.classes)
    return Start(began.job, Dataset(repeated, began.data.test, began.data.origin), began.mlp)


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


def training(began: Start, *, observed: bool = False) -> Prepared:
    """Return a training, with or without what it observes; data and networks are there before the
    time begins.
    """

    def prepared() -> Callable[[], object]:
        found = train(began, observers(began) if observed else [])
        return lambda: deque(found, maxlen=0)

    return prepared
