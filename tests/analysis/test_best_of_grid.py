"""Networks at the best variant of a grid, by their training loss."""

from conftest import planted, row
from lowrank_dynamics.analysis.best_of_grid import best_variants, gap_at_best
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Measurement, Metrics

TRIALS = 2
ENDS = {
    ("full", "slow"): (4.0, 0.5, 10),
    ("full", "fast"): (1.0, 0.8, 10),
    ("s_big", "slow"): (2.0, 0.7, 10),
    ("s_big", "fast"): (0.1, 0.9, 5),  # a loss that had been small until it was not finite
    ("random", "slow"): (3.0, 0.6, 10),
    ("random", "fast"): (3.5, 0.9, 10),
}
"""By network and variant: training loss, test accuracy and last step."""


def ended(loss: float, accuracy: float, step: int) -> list[Measurement]:
    rows = []
    for measured_at in (0, step):
        rows.append(row(measured_at, "train_loss", [loss, loss], layer=0))
        rows.append(row(measured_at, "test_accuracy", [accuracy, accuracy + 0.01], layer=0))
    rows.append(row(step, "last_step", [step, step], layer=0))
    return rows


def grid() -> Metrics:
    cells = {}
    for (network, variant), values in ENDS.items():
        cells[Cell("gelu", network, variant)] = ended(*values)
    return planted(cells)


def test_the_least_training_loss_decides_unless_a_trial_diverged() -> None:
    assert best_variants(grid()) == {"full": "fast", "s_big": "slow", "random": "slow"}


def test_each_is_compared_at_its_own_best() -> None:
    gaps = gap_at_best(grid(), "test_accuracy", {"parameterization": "s_big"})
    means = gaps.groupby("parameterization", observed=True)["value"].mean().round(9)
    assert means.to_dict() == {"full": 0.1, "random": -0.1, "s_big": 0.0}
    assert gaps.groupby("parameterization", observed=True).size().eq(TRIALS).all()
