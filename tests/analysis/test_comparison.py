"""A run against the reference: what counts as the same, as within the spread, as other, and as not
comparable.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from conftest import NAME, ROOT, planted, row
from lowrank_dynamics.analysis import reference, sensitivity
from lowrank_dynamics.analysis.comparison import Outcome, compare, compare_all
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.analysis.verdicts import WAS_NOT_RUN
from lowrank_dynamics.cli import app
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.keep_reference import keep
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.metrics import Metrics

STEPS, TRIALS = 61, 8
CELL = Cell("gelu", "full")
Values = NDArray[np.float64]


def values(seed: int = 0, trials: int = TRIALS, *, each_its_own: bool = False) -> Values:
    """Return a loss of each step and trial that falls from 1 with a spread of a tenth, anew at
    every step or not.
    """
    falling = np.exp(-np.arange(STEPS) / 20)[:, None]
    drawn = np.random.default_rng(seed).standard_normal((1 if each_its_own else STEPS, trials))
    return falling * (1 + 0.1 * drawn)


def run_of(losses: Values, **settings: Any) -> Metrics:
    rows = [row(step, "train_loss", each, layer=0) for step, each in enumerate(losses)]
    return planted({CELL: rows}, trials=losses.shape[1], **settings)


def outcome(losses: Values, expected: Values | None = None) -> Outcome:
    kept = reference.thinned(run_of(values() if expected is None else expected), numbers=0)
    (found,) = compare(run_of(losses), kept, NAME)["outcome"]
    return Outcome(found)


def test_the_same_run_has_the_same_numbers_however_many_of_its_trials_and_steps() -> None:
    for trials in (TRIALS, 3, 1):
        assert outcome(values()[:, :trials]) == Outcome.SAME
        assert outcome(values(), values()[:, :trials]) == Outcome.SAME
    assert (
        outcome(values()[:40, :3]) == Outcome.SAME
    )  # ended before the slowest trial of the reference


@pytest.mark.parametrize("trials", [3, 5, 10])
@pytest.mark.parametrize(
    "each_its_own", [True, False], ids=["an offset a trial", "noise at every step"]
)
def test_other_draws_rarely_differ(trials: int, each_its_own: bool) -> None:
    drawn = [values(seed, trials, each_its_own=each_its_own) for seed in range(80)]
    outcomes = [
        outcome(run, expected) for run, expected in zip(drawn[::2], drawn[1::2], strict=True)
    ]
    assert set(outcomes) <= {Outcome.WITHIN, Outcome.DIFFERS}
    assert outcomes.count(Outcome.DIFFERS) <= 4


def test_other_means_differ() -> None:
    assert outcome(values() * 1.5) == Outcome.DIFFERS
    assert outcome(values() + np.linspace(0, 0.5, STEPS)[:, None]) == Outcome.DIFFERS


def test_one_trial_has_a_spread_only_among_others() -> None:
    assert outcome(values()[:, :1] * 1.05) == Outcome.WITHIN
    assert outcome(values()[:, :1] * 3) == Outcome.DIFFERS
    assert outcome(values()[:, :1] * 1.05, values()[:, :1]) == Outcome.ONE_TRIAL


def test_rounding_makes_no_difference_and_is_all_that_may_where_all_trials_agree() -> None:
    assert outcome(values() * (1 + 1e-12)) == Outcome.SAME
    flat = np.ones((STEPS, TRIALS))
    assert outcome(flat * (1 + 1e-10), flat) == Outcome.SAME
    assert outcome(flat * (1 + 1e-6), flat) == Outcome.DIFFERS
    assert outcome(0 * flat, 0 * flat) == Outcome.SAME


def test_what_is_not_there_is_not_the_same() -> None:
    some, one_trial, infinite = values(), values(), values()
    some[10:-1], one_trial[:, 3:], infinite[-1] = np.nan, np.nan, np.inf
    assert outcome(some) == Outcome.DIFFERS
    assert outcome(one_trial) == Outcome.DIFFERS
    assert outcome(infinite, infinite) == Outcome.SAME
    assert outcome(3 * infinite, infinite) == Outcome.DIFFERS


def test_a_trial_that_ends_a_little_later_is_compared() -> None:
    run, expected = (
        planted({CELL: [row(end, "last_step", [end] * 3, layer=0)]}, trials=3) for end in (101, 100)
    )
    (found,) = compare(run, expected, NAME).itertuples()
    assert (found.points, found.outcome) == (1, Outcome.DIFFERS)
    assert found.difference == pytest.approx(0.01)


def test_where_a_trial_ended_counts_once() -> None:
    """Its last values are held to the end of the longest trial, its `last_step` among them."""
    ends = [100.0, 110.0, 130.0]
    rows = [row(int(end), "last_step", [min(end, each) for each in ends], layer=0) for end in ends]
    assert len(reference.frame(planted({CELL: rows}, trials=3))) == 1 + 2 + 3 - 3


def test_what_the_reference_has_and_the_run_has_not_is_missing() -> None:
    both = planted(
        {CELL: [row(0, "train_loss", [1.0, 2.0]), row(0, "train_accuracy", [0.5, 0.5])]}, trials=2
    )
    found = compare(planted({CELL: [row(0, "train_loss", [1.0, 2.0])]}, trials=2), both, NAME)
    assert found.set_index("quantity")["outcome"].to_dict() == {
        "train_accuracy": Outcome.MISSING,
        "train_loss": Outcome.SAME,
    }
    elsewhere = planted({Cell("elu", "full"): [row(0, "train_loss", [1.0, 2.0])]}, trials=2)
    assert compare(elsewhere, both, NAME).empty  # a cell that the run has not is not compared


def test_a_reference_keeps_few_steps_the_first_and_the_last_among_them() -> None:
    run = run_of(values())
    kept = reference.thinned(run, numbers=len(run.table) - 1).frame("train_loss", trial=0)["step"]
    assert len(kept) == reference.STEPS
    assert (kept.min(), kept.max()) == (0, STEPS - 1)
    for whole in (run_of(values()[:10]), run):
        assert reference.thinned(whole, numbers=len(whole.table) * (whole is run)).table.equals(
            whole.table
        )


def test_only_settings_that_numbers_depend_on_count() -> None:
    changes: list[dict[str, Any]] = [{}, {"threads": 2}, {"network__width": 64}]
    one, same, other = (run_of(values(), **each).settings for each in changes)
    assert differing_keys(one, same.model_copy(update={"trials": 1})) == []
    assert differing_keys(other.model_copy(update={"seed": 2}), one) == ["network.width", "seed"]


KEPT, LEFT_OUT = "fashion_mnist", "theory_setting"
"""Experiments whose settings at laptop scale are other ones than at paper scale, and the same."""
AT_PAPER_SCALE = reference.FOLDER / "paper" / f"{LEFT_OUT}.parquet"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory: settings, metrics of a run at laptop scale, and a reference at
    paper scale.
    """
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    metrics.write(run_of(values(), experiment=LEFT_OUT), tmp_path / AT_PAPER_SCALE)
    for name in (KEPT, LEFT_OUT):
        metrics.write(
            run_of(values(), experiment=name),
            tmp_path / "results" / "laptop" / "metrics" / f"{name}.parquet",
        )
    (tmp_path / "figures" / "laptop").mkdir(parents=True)
    for picture in ("figure_3.png", "figure_6.png", "figure_6.pdf"):
        (tmp_path / "figures" / "laptop" / picture).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments: str) -> None:
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0


def test_kept_is_what_paper_scale_does_not_have_better(project: Path) -> None:
    called("keep-reference", "--scale", "laptop")
    kept = {str(path.relative_to(project)) for path in project.rglob("reference/laptop/**/*.*")}
    assert kept == {
        f"results/reference/laptop/{KEPT}.parquet",
        "results/reference/laptop/claims.md",
        "results/reference/laptop/claims.parquet",
        "figures/reference/laptop/figure_6.png",
        "figures/reference/laptop/verdicts.png",
    }


def test_what_paper_scale_has_not_is_kept_whatever_its_settings(project: Path) -> None:
    (project / AT_PAPER_SCALE).unlink()
    assert {f"{LEFT_OUT}.parquet", "figure_3.png"} <= {
        each.path.name for each in keep(project, "laptop")
    }


def test_the_sensitivity_study_is_kept_where_it_was_run(project: Path) -> None:
    rows = tables.read(
        ROOT / "results" / "reference" / "laptop" / "sensitivity.parquet", sensitivity.COLUMNS
    )
    tables.write(rows, "the page", project / "results" / "laptop" / "sensitivity.parquet")
    kept = {each.path for each in keep(project, "laptop")}
    folder = project / "results" / "reference" / "laptop"
    assert {
        folder / "sensitivity.parquet",
        project / "figures" / "reference" / "laptop" / "sensitivity.png",
    } <= kept
    assert (folder / "sensitivity.md").read_text() == "the page"


def test_verdicts_on_what_was_not_run_this_time_stay(project: Path) -> None:
    keep(project, "laptop")
    kept = project / "results" / "reference" / "laptop"
    before = tables.read(kept / "claims.parquet", COLUMNS).rows
    run = project / "results" / "laptop" / "metrics"
    (run / f"{KEPT}.parquet").rename(kept / "elsewhere.parquet")
    rotated = {Cell("silu", "s_big", "psi_0"): [row(0, "train_loss", [1.0], layer=0)]}
    metrics.write(planted(rotated, "rotated_factors"), run / "rotated_factors.parquet")
    keep(project, "laptop")
    after = tables.read(kept / "claims.parquet", COLUMNS).rows
    assert list(after["claim"].unique()) == list(before["claim"].unique())
    for rows, reason in ((before, WAS_NOT_RUN), (after, "the metrics hold no")):
        assert rows[rows["experiment"] == "rotated_factors"]["reason"].str.contains(reason).all()
    for experiment in (KEPT, LEFT_OUT, "vgg_heads"):
        assert after[after["experiment"] == experiment].equals(
            before[before["experiment"] == experiment]
        )
    assert read_provenance(kept / "claims.parquet")["settings_sha256"].keys() == {
        KEPT,
        LEFT_OUT,
        "rotated_factors",
    }


def test_at_paper_scale_all_is_kept(project: Path) -> None:
    (project / AT_PAPER_SCALE).unlink()
    (project / "results" / "laptop").rename(project / "results" / "paper")
    with pytest.raises(UserError, match=r"\.parquet is of laptop, not of paper; delete it"):
        keep(project, "paper")
    for path in (project / "results" / "paper" / "metrics").iterdir():
        run = metrics.read(path)
        cells = {
            name: cell.model_copy(update={"scale": "paper"}) for name, cell in run.cells.items()
        }
        metrics.write(metrics.Metrics(run.table, cells), path)
    kept = {each.path.stem for each in keep(project, "paper")}
    assert kept == {KEPT, LEFT_OUT, "claims", "verdicts"}


def test_a_run_against_its_own_reference(project: Path) -> None:
    keep(project, "laptop")
    called(
        "compare",
        f"results/laptop/metrics/{KEPT}.parquet",
        "--output",
        "results/comparison.parquet",
    )
    page = (project / "results" / "comparison.md").read_text()
    assert "Of 1 quantities of the reference 1 have the same numbers." in page
    assert f"| {KEPT} | {TRIALS} | laptop | {TRIALS} | 1 | 0 | 0 | 0 | 0 | 0 |" in page
    assert "What differs" not in page
    fewer = compare(run_of(values()[:, :3]), run_of(values()), KEPT)
    assert (fewer["trials"].tolist(), fewer["reference_trials"].tolist()) == ([3], [TRIALS])


def test_other_settings_are_named_and_not_compared(project: Path) -> None:
    keep(project, "laptop")
    wider = {KEPT: run_of(values(), network__width=64), "unknown": run_of(values())}
    compared, uncompared = compare_all(wider, project / reference.FOLDER, [KEPT, "vgg_heads"])
    assert compared.empty
    assert dict(uncompared) == {
        "vgg_heads": "was not run",
        KEPT: "laptop has another network.width",
        "unknown": "there is no reference of it",
    }


def test_cells_that_were_not_run_are_named(project: Path) -> None:
    keep(project, "laptop")
    other = planted({Cell("elu", "full"): [row(0, "train_loss", [1.0])]}, trials=TRIALS)
    _, uncompared = compare_all({KEPT: other}, project / reference.FOLDER)
    assert [tuple(each) for each in uncompared] == [(f"{KEPT} gelu-full", "was not run")]


def test_without_a_run_there_is_nothing_to_keep(project: Path) -> None:
    message = "has no metrics to keep; run `snakemake --config scale={}` first"
    with pytest.raises(UserError, match=message.format("smoke")):
        keep(project, "smoke")
    (
        project / "results" / "laptop" / "metrics" / f"{KEPT}.parquet"
    ).unlink()  # the other one is at paper scale
    with pytest.raises(UserError, match=message.format("laptop")):
        keep(project, "laptop")
    assert not (project / reference.FOLDER / "laptop").exists()


def test_a_broken_reference_is_named(project: Path) -> None:
    keep(project, "laptop")
    (project / "results" / "reference" / "laptop" / f"{KEPT}.parquet").write_text("broken")
    with pytest.raises(
        UserError, match=rf"the reference .*/{KEPT}.parquet cannot be read; restore it"
    ):
        compare_all({KEPT: run_of(values())}, project / reference.FOLDER)
