"""What the tests share: small settings to change, and one thread, as the jobs have."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowrank_dynamics.config import Settings

ROOT = Path(__file__).parents[1]
NAME = "small"
SMALL: dict[str, Any] = {
    "activations": ["elu"],
    "parameterizations": ["full"],
    "trials": 3,
    "dtype": "float64",
    "threads": 1,
    "data": {
        "source": "clusters",
        "dimension": 12,
        "classes": 3,
        "samples": 48,
        "separation": 7.0,
        "whitened": True,
    },
    "network": {
        "depth": 3,
        "width": 14,
        "rank": 6,
        "scale": 0.1,
        "last_scale": 1.0,
        "train_last_layer": True,
    },
    "training": {
        "objective": "squared_error",
        "learning_rate": 0.01,
        "schedule": "constant",
        "steps": 20,
        "stop_near_linear_fit": None,
    },
    "observe": {"loss": 5, "singular_structure": 5, "block_shares": 5},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Return a function that makes settings of one small experiment; keywords such as `network__depth` change it."""

    def make(**changes: Any) -> Settings:
        experiment = copy.deepcopy(SMALL)
        for path, value in changes.items():
            *parents, key = path.split("__")
            place = experiment
            for parent in parents:
                place = place[parent]
            place[key] = value
        return Settings.model_validate({"seed": 1, "experiments": {NAME: experiment}})

    return make
