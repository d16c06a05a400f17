"""What is timed side by side does the same work, and ratios are what they say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import timing
from benchmarks.loops import bare_products, jax_loop, plain_loop
from conftest import NAME, measured
from lowrank_dynamics.cells import CellRun
from lowrank_dynamics.config import Cell, Settings


@pytest.fixture
def run(settings: Callable[..., Settings]) -> CellRun:
    small = settings(observe__loss=1, observe__singular_structure=None, observe__block_shares=None)
    return CellRun(small, NAME, Cell("elu", "full"), range(3))


def losses_of(run: CellRun) -> np.ndarray[Any, Any]:
    """Return the training losses (trials, steps) that the workflow measures, up to the last step."""
    rows = measured(run)
    steps = range(run.experiment.training.steps + 1)
    return np.array([[rows[step, "train_loss", 0, trial] for step in steps] for trial in range(3)])


def test_the_plain_loop_trains_the_same(run: CellRun) -> None:
    np.testing.assert_allclose(plain_loop(run)()(), losses_of(run)[:, :-1], rtol=1e-8)


def test_jax_trains_the_same(run: CellRun) -> None:
    pytest.importorskip("jax", reason="JAX is installed by make bench only")
    weights = [torch.from_numpy(np.array(weight)) for weight in jax_loop(run)()()]  # type: ignore[attr-defined]
    features = run.data.train.inputs
    for weight in weights[:-1]:
        features = torch.nn.functional.elu(weight @ features)
    losses = (weights[-1] @ features - run.data.train.targets).square().sum(dim=(-2, -1)) / 2
    np.testing.assert_allclose(losses, losses_of(run)[:, -1], rtol=1e-8)


def test_the_bare_products_are_computed(run: CellRun) -> None:
    bare_products(run)()()


def test_a_ratio_is_the_median_of_pairs_and_leaves_out_what_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)

    def taking(prepared: float, *computed: float) -> timing.Prepared:
        durations = iter(computed)

        def wait(seconds: float) -> None:
            nonlocal now
            now += seconds

        def prepare() -> Callable[[], object]:
            wait(prepared)
            return lambda: wait(next(durations))

        return prepare

    ratio = timing.paired(taking(100, 1, 6, 2, 4), taking(7, 1, 2, 2, 2), 3)
    assert ratio == (2, 1, 3)
    assert str(ratio.scaled(2)) == "4 (2 to 6)"
