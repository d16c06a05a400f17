"""A run beside the reference: what counts as the same, as within the spread, as other, and as not comparable."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import NAME, ROOT, planted, row
from lowrank_dynamics import metrics, reference
from lowrank_dynamics.cli import main
from lowrank_dynamics.comparison import Outcome, compare, compare_all
from lowrank_dynamics.config import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Metrics
from lowrank_dynamics.reference import differing_settings

STEPS, TRIALS = 61, 8
SETTINGS = {"dtype": "float64", "trials": TRIALS, "network": {"width": 32}}
CELL = Cell("elu", "full")
Values = NDArray[np.float64]


def values(seed: int = 0) -> Values:
    """Return a loss of each step and trial that falls from 1 with a spread of a tenth."""
    falling = np.exp(-np.arange(STEPS) / 20)[:, None]
    return falling * (1 + 0.1 * np.random.default_rng(seed).standard_normal((STEPS, TRIALS)))


def run_of(losses: Values, **settings: Any) -> Metrics:
    rows = [row(step, "train_loss", each, layer=0) for step, each in enumerate(losses)]
    return planted({CELL: rows}, {**SETTINGS, **settings})


def outcome(losses: Values, expected: Values | None = None) -> Outcome:
    kept = reference.thinned(run_of(values() if expected is None else expected))
    (found,) = compare(run_of(losses), kept, NAME)["outcome"]
    return Outcome(found)


def test_the_same_run_has_the_same_numbers_however_many_of_its_trials() -> None:
    for trials in (TRIALS, 3, 1):
        assert outcome(values()[:, :trials]) == Outcome.SAME


def test_rounding_makes_no_difference() -> None:
    assert outcome(values() * (1 + 1e-12)) == Outcome.SAME


def test_other_draws_are_within_the_spread_and_other_means_are_not() -> None:
    assert outcome(values(seed=1)) == Outcome.WITHIN
    assert outcome(values() + 0.5 * 0.1 * np.exp(-np.arange(STEPS) / 20)[:, None]) == Outcome.WITHIN  # half a deviation
    assert outcome(values() * 1.5) == Outcome.DIFFERS
    assert outcome(values() + np.linspace(0, 0.5, STEPS)[:, None]) == Outcome.DIFFERS


def test_one_trial_has_no_spread_to_tell_by() -> None:
    assert outcome(values()[:, :1] * 1.5) == Outcome.ONE_TRIAL


def test_where_all_trials_agree_only_rounding_may_differ() -> None:
    flat = np.ones((STEPS, TRIALS))
    assert outcome(flat * (1 + 1e-10), flat) == Outcome.SAME
    assert outcome(flat * (1 + 1e-6), flat) == Outcome.DIFFERS
    assert outcome(0 * flat, 0 * flat) == Outcome.SAME


def test_what_the_reference_has_and_the_run_has_not_is_missing() -> None:
    both = planted({CELL: [row(0, "train_loss", [1.0, 2.0]), row(0, "train_accuracy", [0.5, 0.5])]}, SETTINGS)
    found = compare(planted({CELL: [row(0, "train_loss", [1.0, 2.0])]}, SETTINGS), both, NAME)
    assert found.set_index("quantity")["outcome"].to_dict() == {
        "train_accuracy": Outcome.MISSING,
        "train_loss": Outcome.SAME,
    }
    elsewhere = planted({Cell("gelu", "full"): [row(0, "train_loss", [1.0, 2.0])]}, SETTINGS)
    assert compare(elsewhere, both, NAME).empty  # a cell that the run has not is not compared


def test_a_reference_keeps_few_steps_the_first_and_the_last_among_them() -> None:
    kept = reference.thinned(run_of(values())).frame("train_loss", trial=0)["step"]
    assert len(kept) == reference.STEPS
    assert (kept.min(), kept.max()) == (0, STEPS - 1)
    few = run_of(values()[:10])
    assert reference.thinned(few).table.equals(few.table)


def test_only_settings_that_numbers_depend_on_count() -> None:
    changed = {**SETTINGS, "trials": 3, "threads": 2}
    assert differing_settings(changed, SETTINGS) == []
    assert differing_settings({**SETTINGS, "network": {"width": 64}, "seed": 1}, SETTINGS) == ["network.width", "seed"]


KEPT, LEFT_OUT = "fashion_mnist", "theory_setting"
"""Experiments whose settings at laptop scale are other ones than at paper scale, and the same."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with settings and the metrics of a run at laptop scale, whose working directory it is."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in (KEPT, LEFT_OUT):
        metrics.write(run_of(values()), tmp_path / "results" / "laptop" / "metrics" / f"{name}.parquet")
    (tmp_path / "figures" / "laptop").mkdir(parents=True)
    for picture in ("figure_3.png", "figure_6.png", "figure_6.pdf"):
        (tmp_path / "figures" / "laptop" / picture).touch()
    (tmp_path / "results" / "laptop" / "claims.md").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["lowrank-dynamics", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_kept_is_what_paper_scale_does_not_have_better(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called(monkeypatch, "keep-reference", "--scale", "laptop")
    kept = {str(path.relative_to(project)) for path in project.rglob("reference/**/*.*")}
    assert kept == {
        f"results/reference/laptop/{KEPT}.parquet",
        "results/reference/laptop/claims.md",
        "figures/reference/laptop/figure_6.png",
    }


def test_at_paper_scale_all_is_kept(project: Path) -> None:
    (project / "results" / "laptop").rename(project / "results" / "paper")
    kept = {path.stem for path in reference.keep(project, "paper")}
    assert kept == {KEPT, LEFT_OUT, "claims"}


def test_a_run_beside_its_own_reference(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference.keep(project, "laptop")
    called(monkeypatch, "compare", f"results/laptop/metrics/{KEPT}.parquet", "--output", "results/comparison.parquet")
    page = (project / "results" / "comparison.md").read_text()
    assert "Quantities beside the reference: 1 same numbers." in page
    assert f"| {KEPT} | laptop | {TRIALS} | 1 | 0 | 0 | 0 | 0 | 0 |" in page
    assert "What differs" not in page


def test_other_settings_are_named_and_not_compared(project: Path) -> None:
    reference.keep(project, "laptop")
    wider = {KEPT: run_of(values(), network={"width": 64}), "unknown": run_of(values())}
    compared, uncompared = compare_all(wider, project / reference.FOLDER)
    assert compared.empty
    assert [tuple(each) for each in uncompared] == [
        (KEPT, "base", "laptop", ["network.width"]),
        ("unknown", "base", "", []),
    ]


def test_without_metrics_there_is_nothing_to_keep(project: Path) -> None:
    with pytest.raises(UserError, match="has no metrics to keep; run `snakemake --config scale=smoke` first"):
        reference.keep(project, "smoke")
