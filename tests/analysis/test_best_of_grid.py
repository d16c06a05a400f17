"""Networks at the best variant of a grid, by their training loss."""

import numpy as np

from conftest import planted, row
from lowrank_dynamics.analysis.best_of_grid import best_variants, gap_at_best
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Measurement, Metrics

TRIALS, STEPS = 2, 20  # the steps of SMALL
ENDS = {
    ("full", "slow"): (4.0, 0.5),
    ("full", "fast"): (1.0, 0.8),
    ("s_big", "slow"): (2.0, 0.7),
    ("s_big", "fast"): (0.1, 0.9),
    ("random", "slow"): (3.0, 0.6),
    ("random", "fast"): (3.5, 0.9),
}
"""Training loss and test accuracy at the end, by network and variant."""


def cell_rows(loss: float, accuracy: float, diverged: bool) -> list[Measurement]:
    """Return rows of two trials, of which the last may have diverged after step 5."""
    rows = []
    present = np.array([True, not diverged])
    for step in (0, 5, STEPS):
        rows.append(row(step, "train_loss", [loss, loss], layer=0))
        rows.append(row(step, "test_accuracy", [accuracy, accuracy + 0.01], layer=0))
    rows[-2:] = [measured._replace(present=present) for measured in rows[-2:]]
    rows.append(row(STEPS, "last_step", [STEPS, STEPS], layer=0)._replace(present=present))
    if diverged:
        rows.append(row(6, "last_step", [6, 6], layer=0)._replace(present=~present))
    return rows


def grid() -> Metrics:
    cells = {}
    for cell, (loss, accuracy) in ENDS.items():
        diverged = cell == ("s_big", "fast")
        cells[Cell("gelu", *cell)] = cell_rows(loss, accuracy, diverged)
    return planted(cells)


def test_the_least_training_loss_decides_unless_a_trial_diverged() -> None:
    assert best_variants(grid()) == {"full": "fast", "s_big": "slow", "random": "slow"}


def test_each_is_compared_at_its_own_best() -> None:
    gaps = gap_at_best(grid(), "test_accuracy", {"parameterization": "s_big"})
    means = gaps.groupby("parameterization", observed=True)["value"].mean().round(9)
    assert means.to_dict() == {"full": 0.1, "random": -0.1, "s_big": 0.0}
    assert gaps.groupby("parameterization", observed=True).size().eq(TRIALS).all()
