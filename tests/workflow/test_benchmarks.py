"""What is timed side by side does the same work, and ratios are what they say."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import cells, counts, gpu, savings, timing
from benchmarks.__main__ import COMPARED, END, START, START_GPU, write
from benchmarks.__main__ import cells as as_cells
from benchmarks.loops import bare_products, plain_loop
from benchmarks.rows import Row
from conftest import NAME, measured
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.training.build import Job, Setup, setup_of
from lowrank_dynamics.training.device import CPU
from simulated_device import WHY_NOT


@pytest.fixture
def setup(settings: Callable[..., Settings]) -> Setup:
    small = settings(observe__loss=1, observe__singular_structure=None, observe__block_shares=None)
    return setup_of(Job(small, NAME, Cell("elu", "full"), range(3)))


def losses_of(setup: Setup) -> np.ndarray[Any, Any]:
    """Return the training losses (trials, steps) that the workflow measures, up to the last
    step.
    """
    rows = measured(setup.job)
    steps = range(setup.job.cell_settings.training.steps + 1)
    return np.array([[rows[step, "train_loss", 0, trial] for step in steps] for trial in range(3)])


def test_the_plain_loop_trains_the_same(setup: Setup) -> None:
    np.testing.assert_allclose(plain_loop(setup)()(), losses_of(setup)[:, :-1], rtol=1e-8)


def test_the_bare_products_are_computed(setup: Setup) -> None:
    bare_products(setup)()()


@pytest.mark.slow
def test_the_rows_about_a_gpu_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here on the processor, with fewer images and steps: what they compare, not what comes out."""
    monkeypatch.setattr(cells, "IMAGES", tmp_path / "images.safetensors")
    monkeypatch.setattr(gpu, "PAPER", {"trials": 2, "data": {"training_images": 50}})
    monkeypatch.setattr(gpu, "FEW", 1)
    monkeypatch.setattr(gpu, "MANY", 2)
    monkeypatch.setattr(gpu, "paired", partial(timing.paired, repeats=1))
    found = list(gpu.gpu_rows(CPU, times=2))
    assert len(found) == 4
    assert found[0].met in {True, False}


@pytest.mark.slow
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_what_a_step_asks_of_a_gpu_is_counted() -> None:
    """At paper scale; RReLU uploads slopes of 3 layers of 32 units, 10 trials and 1,000 samples."""
    plain, random = counts.counted(counts.KINDS[:2])
    assert plain.counts == (67, 0, 0, 0, 0)
    assert random.counts == (73, 0, 0, 0, 3 * 10 * 32 * 1_000 * 8)


def test_images_are_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cells, "IMAGES", tmp_path / "images.safetensors")
    few = {"data": {"training_images": 100}}
    once, thrice = (
        cells.setup("fashion_mnist", Cell("gelu", "full"), few, times=times) for times in (1, 3)
    )
    assert torch.equal(thrice.data.train.inputs, torch.cat([once.data.train.inputs] * 3, dim=1))
    assert torch.equal(thrice.data.train.labels, once.data.train.labels.repeat(3))


def test_the_page_keeps_what_is_around_a_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{START}\nold\n{END}\nb\n{START_GPU}\nother\n{END}\nc\n")
    write(
        page,
        START,
        "a machine",
        COMPARED,
        [as_cells(Row("this / that", "2 (1 to 3)", "at least 1", met=True))],
    )
    found = page.read_text()
    assert "| this / that | 2 (1 to 3) | at least 1 | yes |" in found
    assert "old" not in found
    assert [line for line in found.splitlines() if len(line) == 1] == ["a", "b", "c"]
    assert f"{START_GPU}\nother\n{END}" in found


def test_a_ratio_is_the_median_of_pairs_and_leaves_out_what_is_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


def test_what_a_head_saves_is_measured_of_heads_of_one_start() -> None:
    """Adapters begin as the full head, with hidden layers frozen; of the low-rank head all weights
    are trained.
    """
    pytest.importorskip("peft", reason="peft is installed by make bench and make test-all")
    full, rank = savings.head(64, 80), 20
    images = torch.randn(30, 80, generator=torch.Generator().manual_seed(0))
    expected = full(images)
    adapters = savings.adapted(full, rank)
    torch.testing.assert_close(adapters(images), expected)
    assert savings.trained(adapters) == rank * (80 + 64 + 64 + 64) + 10 * (64 + 1)
