"""What a step asks of a GPU, counted on the simulated device: operations, reads, uploads; and
whether launching them takes longer than computing them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.cells import Changes, setup
from lowrank_dynamics.config.cards import CARDS
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.cost import training_demand
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.training.loop import train

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where the device is
from simulated_device import NAME, Counts, simulated

LAUNCH_SECONDS = 5e-6
"""Assumed, and not measured: the time in which a CPU starts one operation on a GPU."""
STEPS, MORE_STEPS = 8, 16
"""Two trainings differ by an epoch of minibatches, in which nothing is measured."""
COUNTED = ("a100", "h100")
"""The cards of the data sheets that the table compares with."""
FEW_IMAGES = {"training_images": 400, "test_images": 100}
CHUNKS_OF_8 = {"data": FEW_IMAGES, "samples_at_once": 8}
"""As many chunks as at paper scale, 50, whose entries fill the vectors of a CPU as there."""
KINDS: list[tuple[str, Cell, Changes]] = [
    ("case_study", Cell("elu", "full"), {}),
    ("case_study", Cell("rrelu", "full"), {}),
    ("theory_setting", Cell("elu", "full"), {}),
    ("deep_whitened", Cell("elu", "full"), {}),
    ("deep_unwhitened", Cell("elu", "full", "sgd_momentum"), {}),
    ("deep_unwhitened", Cell("elu", "full", "adam"), {}),
    ("deep_unwhitened", Cell("elu", "full", "muon"), {}),
    ("fashion_mnist", Cell("gelu", "full"), CHUNKS_OF_8),
    ("fashion_mnist", Cell("gelu", "s_big"), CHUNKS_OF_8),
    ("fashion_mnist", Cell("gelu", "random"), CHUNKS_OF_8),
]
"""Cells of the paper scale, and how images are made fewer: no operation more or less."""


class StepCounts(NamedTuple):
    """A kind of training: what a step asks of a device, and by card how many times as long its
    launches take as its arithmetic.
    """

    experiment: str
    cell: str
    counts: Counts
    ratios: tuple[float, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table says."""
        uploaded = (
            f"{self.counts.bytes_uploaded / 1e6:.2g} MB" if self.counts.bytes_uploaded else "0"
        )
        numbers = (str(self.counts.operations), str(self.counts.reads), uploaded)
        return (self.experiment, self.cell, *numbers, *(f"{ratio:.2g}" for ratio in self.ratios))


def counted(kinds: list[tuple[str, Cell, Changes]] = KINDS) -> Iterator[StepCounts]:
    """Yield what a step of each kind asks for, counted when it is asked for."""
    for name, cell, small in kinds:
        few, more = (_training_counts(name, cell, small, steps) for steps in (STEPS, MORE_STEPS))
        sums = more.since(few)
        counts = Counts(*(count // (MORE_STEPS - STEPS) for count in sums))
        launching = counts.operations * LAUNCH_SECONDS
        ratios = [launching / _arithmetic_seconds(name, cell, card) for card in COUNTED]
        yield StepCounts(name, cell.name, counts, tuple(ratios))


def _training_counts(name: str, cell: Cell, small: Changes, steps: int) -> Counts:
    """Return what happens in a training that is measured at its first and last step only."""
    training = {"steps": steps, "learning_rate": 1e-5}
    changes = {"training": training, "observe": {"loss": 1_000}}
    with simulated() as device:
        case = setup(name, cell, small, changes, device=torch.device(NAME, 0), scale="paper")
        for _ in train(case, []):
            pass
    return device.counts


def _arithmetic_seconds(name: str, cell: Cell, card: str) -> float:
    """Return how long a card computes for one step at paper scale, without launches, by
    docs/cluster.md.
    """
    settings = Run(Path(), "paper").settings
    experiment = settings.of_variant(name, cell.variant)
    trials = range(experiment.trials)
    demand = training_demand(settings.on(card), name, cell, trials)
    return demand.operations / experiment.training.steps / getattr(CARDS[card], experiment.dtype)
