"""Planted losses of one cell, for comparisons of runs with each other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conftest import planted, row
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Metrics

STEPS, TRIALS = 61, 8
CELL = Cell("gelu", "full")
Values = NDArray[np.float64]


def values(seed: int = 0, trials: int = TRIALS, *, once: bool = False) -> Values:
    """Return a loss (steps, trials) that falls from 1 with a spread of a tenth, drawn at every step
    or `once` for all of them.
    """
    falling = np.exp(-np.arange(STEPS) / 20)[:, None]
    draws = 1 if once else STEPS
    return falling * (1 + 0.1 * np.random.default_rng(seed).standard_normal((draws, trials)))


def run_of(losses: Values, **settings: Any) -> Metrics:
    rows = [row(step, "train_loss", of_trials, layer=0) for step, of_trials in enumerate(losses)]
    return planted({CELL: rows}, trials=losses.shape[1], **settings)
