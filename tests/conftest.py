"""What the tests share: small settings to change, what a run measures, planted metrics."""

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from numpy.typing import NDArray

import simulated_device  # noqa: F401  # torch learns of devices before the first backward pass
from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.overlay import Layer, completed
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics as stored
from lowrank_dynamics.storage.metrics import Measurement, Metrics
from lowrank_dynamics.storage.provenance import CellOrigin
from lowrank_dynamics.training.build import Job, observers, setup_of
from lowrank_dynamics.training.checkpoints import Checkpoint
from lowrank_dynamics.training.loop import train

ROOT = Path(__file__).parents[1]
NAME = "small"
SMALL: dict[str, Any] = yaml.safe_load("""
activations: [elu]
parameterizations: [full]
trials: 3
trials_per_job: null
samples_at_once: null
dtype: float64
threads: 1
data: {source: clusters, dimension: 12, classes: 3, samples: 48, separation: 7.0, whitened: true}
network:
  {depth: 3, width: 14, rank: 6, first_batch: null, rotation: 0.0, eps: 0.1, last_eps: 1.0,
   train_last_layer: true}
training:
  {objective: squared_error, optimizer: gradient_descent, batch_size: null, learning_rate: 0.01,
   weight_decay: 0.0, mixed_precision: false, schedule: constant, steps: 20,
   stop_near_linear_fit: null}
observe: {loss: 5, singular_structure: 5, block_shares: 5, gradient: null, start_eps: []}
""")
MINIBATCH = {
    "data__whitened": False,
    "training__objective": "cross_entropy",
    "training__batch_size": 20,
}
"""What `changed` takes to train as figure 5 does."""

CLAIM: dict[str, Any] = {
    "figure": "figure_3",
    "place": "figure 3",
    "statement": "Almost all of the change lies in block 1.",
    "quantity": "share of block 1",
    "experiment": "small",
    "measure": "value_at_end",
    "options": {"quantity": "block_share", "index": 1},
    "cells": {"activation": ["elu"], "layer": [1]},
    "at_least": 0.9,
    "because": "of the words",
}
"""A claim about metrics that are `planted`."""

Key = tuple[int, str, int, int]
MakeJob = Callable[..., Job]


def rows_of(job: Job, checkpoint: Checkpoint | None = None) -> Iterator[Measurement]:
    """Train the cell of a job and yield what is measured."""
    setup = setup_of(job)
    return train(setup, observers(setup), checkpoint)


def measured(job: Job) -> dict[Key, NDArray[np.float64]]:
    """Return the values by step, quantity, layer and trial (numbered in the experiment)."""
    values = {}
    for step, layer, quantity, of_trials, present in rows_of(job):
        for trial in np.flatnonzero(present):
            values[step, quantity, layer, job.trials[trial]] = of_trials[trial]
    return values


def assert_same(rows: list[Measurement], expected: list[Measurement]) -> None:
    for one, other in zip(rows, expected, strict=True):
        assert one[:3] == other[:3]
        assert np.array_equal(one.values, other.values, equal_nan=True), one[:3]
        assert np.array_equal(one.present, other.present)


Planted = dict[Cell, list[Measurement]]


def planted(cells: Planted, experiment: str = NAME, **changes: Any) -> Metrics:
    """Return metrics whose cells have just these measurements, with changes of SMALL."""
    content = changed(**changes)
    shared = {key: content[key] for key in CellSettings.model_fields.keys() & content.keys()}
    settings = CellSettings.model_validate({"seed": 1} | shared)
    program = {"code": "", "libraries": {}, "python": "", "started": "", "scale": "laptop"}
    tables, origins = [], {}
    for cell, rows in cells.items():
        of_cell = {"variant": cell.variant, "settings": settings, "settings_sha256": cell.variant}
        origins[cell.name] = CellOrigin(**program, **of_cell)
        tables.append(stored.table(experiment, cell, rows))
    return Metrics(pa.concat_tables(tables).unify_dictionaries(), origins)


def changed(**changes: Any) -> dict[str, Any]:
    """Return SMALL with changes, by keywords such as `network__depth`."""
    experiment = copy.deepcopy(SMALL)
    for path, value in changes.items():
        put(experiment, path.split("__"), value)
    return experiment


def refused(sentence: str) -> AbstractContextManager[pytest.ExceptionInfo[UserError]]:
    """Expect a UserError whose words match a regular expression."""
    return pytest.raises(UserError, match=sentence)


def put(content: dict[str, Any], path: list[str], value: object) -> None:
    *parents, last = path
    for parent in parents:
        content = content.setdefault(parent, {})
    content[last] = value


def row(step: int, quantity: str, values: Any, layer: int = 1) -> Measurement:
    array = np.array(values, dtype=float)
    return Measurement(step, layer, quantity, array, np.ones(len(array), dtype=bool))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first, lest one process is left alone with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the folder that all processes of tests share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def finished(shared: Path) -> Path:
    """Return a copy of the project in which the smoke scale has run; tests leave it as it is."""
    from runs import SMOKE, copied, made_once, succeeding

    def run(project: Path) -> None:
        said = succeeding(copied(project), "snakemake", "--cores", "2", *SMOKE)
        project.with_suffix(".said").write_text(said.stdout + said.stderr)

    return made_once(shared / "finished", run)


@pytest.fixture(scope="module")
def edited(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of it that the tests of a file change."""
    return Path(
        shutil.copytree(finished, tmp_path_factory.mktemp("edited") / "project", symlinks=True)
    )


@pytest.fixture(scope="session")
def finished_beyond(shared: Path, finished: Path) -> Path:
    """Return a copy of the first in which the studies beyond the paper have run too."""
    from runs import SMOKE, made_once, succeeding

    def run(project: Path) -> None:
        shutil.copytree(finished, project, symlinks=True, dirs_exist_ok=True)
        succeeding(project, "snakemake", "--cores", "2", *SMOKE, "--", "beyond")

    return made_once(shared / "beyond" / "project", run)


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Return a function that makes settings of one small experiment, with changes of SMALL."""

    def make(**changes: Any) -> Settings:
        content = {"seed": 1, "device": "cpu", "gpu": "a100"}
        small = Layer("test", content | {"experiments": {NAME: changed(**changes)}})
        return Settings.model_validate(completed(small, Layer("none", {"experiments": {}})))

    return make


@pytest.fixture
def job(settings: Callable[..., Settings]) -> MakeJob:
    """Return a function that makes the job of a cell of it, with changes of SMALL."""

    def make(
        activation: str = "elu",
        parameterization: str = "full",
        trials: range = range(3),
        **changes: Any,
    ) -> Job:
        return Job(settings(**changes), NAME, Cell(activation, parameterization), trials)

    return make


SCALES = ["converged", "laptop", "smoke", "paper"]
"""The project's own; a clone may have others."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the project's own settings to change."""
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in SCALES:
        shutil.copy2(ROOT / "configs" / f"{name}.yaml", configs)
    for studies in ("studies", "statements"):
        shutil.copytree(ROOT / "configs" / studies, configs / studies)
    return configs


def job_of(run: str, experiment: str, cell: str, data: Path, *overrides: str) -> Job:
    """Return the job of a cell of a run, such as `smoke`, on the CPU; `data` are its images and
    features.
    """
    settings = Run.named(run, Path(), ROOT / "configs", overrides=overrides).settings
    shared = settings.experiment(experiment)
    stored = shared.data.stored
    job = Job(settings, experiment, settings.cell(experiment, cell), range(shared.trials))
    return replace(job, stored=data / stored if stored else None)


def run_named(name: str, root: Path = Path(), configs: Path = ROOT / "configs") -> Run:
    """Return a run such as `laptop` or `laptop/beyond`, by default with the project's settings."""
    return Run.named(name, root, configs)


def settings_of(name: str, configs: Path = ROOT / "configs") -> Settings:
    """Return the settings of a run."""
    return run_named(name, configs=configs).settings


def settings_of_all(scale: str, configs: Path = ROOT / "configs") -> dict[str, Settings]:
    """Return the settings of a scale, and of all studies at it, by the names of the runs."""
    main = Run(Path(), scale, configs=configs)
    return {run.name: run.settings for run in (main, main.beyond, *main.alternatives)}


def change(file: Path, key: str, value: object) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    put(content, key.split("."), value)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
