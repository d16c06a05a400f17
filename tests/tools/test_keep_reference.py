"""The reference: what is kept of a run, and how runs compare with what was kept."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import ROOT, change, planted, refused, row, run_named
from losses import STEPS, TRIALS, run_of, values
from lowrank_dynamics.analysis import sensitivity
from lowrank_dynamics.analysis.comparison import compare, compare_all
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.cli.commands import app
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.folder import REFERENCE
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.figures import heads
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance
from tools import keep_reference, thinning
from tools.keep_reference import keep

KEPT, LEFT_OUT = "fashion_mnist", "theory_setting"
"""Experiments whose settings at laptop scale are other ones than at paper scale, and the same."""
PAPER = run_named("paper")
AT_PAPER_SCALE = PAPER.reference / f"{LEFT_OUT}.parquet"


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run in the working directory, whose settings are there, and so is a reference at
    paper scale.
    """
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", "configs")
    run = run_named("laptop")
    metrics.write(run_of(values(), experiment=LEFT_OUT), AT_PAPER_SCALE)
    for name in (KEPT, LEFT_OUT):
        metrics.write(run_of(values(), experiment=name), run.metrics(name))
    run.figures.mkdir(parents=True)
    for picture in ("figure_3.png", "figure_6.png", "figure_6.pdf"):
        (run.figures / picture).touch()
    return run


def test_a_reference_keeps_few_steps_the_first_and_the_last_among_them() -> None:
    run = run_of(values())
    thinned = thinning.thinned(run, numbers=len(run.table) - 1)
    steps = thinned.frame("train_loss", trial=0)["step"]
    assert len(steps) == thinning.STEPS
    assert (steps.min(), steps.max()) == (0, STEPS - 1)


def test_cells_that_lose_no_steps_are_not_marked() -> None:
    cells = {Cell("gelu", "full"): range(30), Cell("silu", "full"): range(10)}
    rows = {cell: [row(step, "loss", [1.0]) for step in steps] for cell, steps in cells.items()}
    marks = [
        origin.thinned_to for origin in thinning.thinned(planted(rows), numbers=0).cells.values()
    ]
    assert marks == [thinning.STEPS, None]


def test_metrics_of_few_numbers_or_few_steps_are_kept_whole() -> None:
    run, short = run_of(values()), run_of(values()[:10])
    assert thinning.thinned(run, numbers=len(run.table)).table.equals(run.table)
    assert thinning.thinned(short, numbers=0).table.equals(short.table)


def test_kept_is_what_paper_scale_does_not_have_better(laptop: Run) -> None:
    written = {str(kept.path) for kept in keep(laptop)}
    assert written == {
        f"results/reference/laptop/{KEPT}.parquet",
        "results/reference/laptop/claims.parquet",
        "figures/reference/laptop/figure_6.png",
    }
    assert {str(path) for path in Path().rglob("reference/laptop/**/*.*")} == written


def test_what_paper_scale_has_not_is_kept_whatever_its_settings(laptop: Run) -> None:
    AT_PAPER_SCALE.unlink()
    names = {kept.path.name for kept in keep(laptop)}
    assert {f"{LEFT_OUT}.parquet", "figure_3.png"} <= names


def test_a_figure_is_kept_without_an_optional_experiment_that_was_not_run(laptop: Run) -> None:
    rows = [row(step, name, [0.1, 0.2], layer=0) for step in (0, 10) for name in heads.PANELS]
    head = Cell("gelu", "full", "2k")
    metrics.write(planted({head: rows}, "vgg_heads"), laptop.metrics("vgg_heads"))
    figure = laptop.reference_figures / "figure_7.png"
    assert figure in [kept.path for kept in keep(laptop)]


def test_the_sensitivity_study_is_kept_where_it_was_run(laptop: Run) -> None:
    table = run_named("laptop", ROOT).reference / "sensitivity.parquet"
    rows = tables.read(table, sensitivity.COLUMNS)
    tables.write(rows, "the page", laptop.table("sensitivity"))
    written = {kept.path for kept in keep(laptop)}
    assert laptop.reference / "sensitivity.parquet" in written
    assert laptop.reference_figures / "sensitivity.png" in written
    assert list(laptop.reference.glob("*.md")) == []
    uncommitted = rows._replace(origin={**rows.origin, "code": "0.1.0 at 0000000-dirty"})
    tables.write(uncommitted, "the page", laptop.table("sensitivity"))
    with refused(r"sensitivity\.parquet: judged by code that is in no commit"):
        keep(laptop)


def test_verdicts_on_what_was_not_run_this_time_stay(laptop: Run) -> None:
    keep(laptop)
    verdicts = laptop.reference / "claims.parquet"
    before = tables.read(verdicts, COLUMNS).rows
    laptop.metrics(KEPT).unlink()
    rotated = {Cell("silu", "s_big", "psi_0"): [row(0, "train_loss", [1.0], layer=0)]}
    metrics.write(planted(rotated, "rotated_factors"), laptop.metrics("rotated_factors"))
    keep(laptop)
    after = tables.read(verdicts, COLUMNS).rows
    assert list(after["claim"].unique()) == list(before["claim"].unique())
    for rows, reason in ((before, "was not run"), (after, "the metrics hold no")):
        assert rows[rows["experiment"] == "rotated_factors"]["reason"].str.contains(reason).all()
    for experiment in (KEPT, LEFT_OUT, "vgg_heads"):
        stayed = after[after["experiment"] == experiment]
        assert stayed.equals(before[before["experiment"] == experiment])
    judged = read_provenance(verdicts)["settings_sha256"].keys()
    assert judged == {KEPT, LEFT_OUT, "rotated_factors"}


STATEMENT = "claims.s_big_follows_in_accuracy"


def test_a_kept_verdict_by_another_threshold_is_refused(laptop: Run) -> None:
    """Before anything is written; other words for the same threshold make no difference."""
    run = replace(laptop, configs=Path("configs"))
    keep(run)
    verdicts = run.reference / "claims.parquet"
    run.metrics(KEPT).unlink()
    rotated = {Cell("silu", "s_big", "psi_0"): [row(0, "train_loss", [1.0], layer=0)]}
    metrics.write(planted(rotated, "rotated_factors"), run.metrics("rotated_factors"))
    change(run.statements, f"{STATEMENT}.because", "of other words")
    keep(run)
    change(run.statements, f"{STATEMENT}.within", 0.03)
    before = verdicts.read_bytes()
    with refused("on s_big_follows_in_accuracy by other thresholds .* run fashion_mnist too"):
        keep(run)
    assert verdicts.read_bytes() == before


def test_at_paper_scale_all_is_kept(laptop: Run) -> None:
    AT_PAPER_SCALE.unlink()
    laptop.results.rename(PAPER.results)
    with refused(r"\.parquet is of laptop, not of paper; name another file, or delete it"):
        keep(PAPER)
    for name in (KEPT, LEFT_OUT):
        run = metrics.read(PAPER.metrics(name))
        cells = {}
        for cell, origin in run.cells.items():
            cells[cell] = origin.model_copy(update={"scale": "paper"})
        metrics.write(metrics.Metrics(run.table, cells), PAPER.metrics(name))
    assert {kept.path.stem for kept in keep(PAPER)} == {KEPT, LEFT_OUT, "claims"}


def test_a_run_against_its_own_reference(laptop: Run) -> None:
    keep(laptop)
    command = ["compare", str(laptop.metrics(KEPT)), "--output", str(laptop.table("comparison"))]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    page = laptop.page("comparison").read_text()
    assert "Of 1 quantities of the reference 1 have the same numbers." in page
    assert f"| {KEPT} | {TRIALS} | laptop | {TRIALS} | 1 | 0 | 0 | 0 | 0 | 0 |" in page
    assert "What differs" not in page


def test_trials_of_run_and_reference_are_both_told() -> None:
    fewer = compare(run_of(values()[:, :3]), run_of(values()), KEPT)
    assert (fewer["trials"].tolist(), fewer["reference_trials"].tolist()) == ([3], [TRIALS])


def test_other_settings_are_named_and_not_compared(laptop: Run) -> None:
    keep(laptop)
    wider = {KEPT: run_of(values(), network__width=64), "unknown": run_of(values())}
    compared, uncompared = compare_all(wider, REFERENCE, [KEPT, "vgg_heads"])
    assert compared.empty
    assert dict(uncompared) == {
        "vgg_heads": "was not run",
        KEPT: "laptop differs in network.width",
        "unknown": "it has no reference",
    }


def test_cells_that_only_the_reference_or_the_run_has_are_named(laptop: Run) -> None:
    keep(laptop)
    other = planted({Cell("elu", "full"): [row(0, "train_loss", [1.0])]}, trials=TRIALS)
    _, uncompared = compare_all({KEPT: other}, REFERENCE)
    assert uncompared == [
        (f"{KEPT} gelu-full", "was not run"),
        (f"{KEPT} elu-full", "the reference lacks it"),
    ]


def test_without_a_run_there_is_nothing_to_keep(laptop: Run) -> None:
    with refused("has no metrics to keep; run `snakemake --config scale=smoke` first"):
        keep(run_named("smoke"))
    laptop.metrics(KEPT).unlink()  # the other one is at paper scale
    with refused("has no metrics to keep; run `snakemake --config scale=laptop` first"):
        keep(laptop)
    assert not laptop.reference.exists()


def test_a_broken_reference_is_named(laptop: Run) -> None:
    keep(laptop)
    (laptop.reference / f"{KEPT}.parquet").write_text("broken")
    with refused(f"the reference .*/{KEPT}.parquet cannot be read; restore it"):
        compare_all({KEPT: run_of(values())}, REFERENCE)


@pytest.mark.usefixtures("laptop")
def test_the_command_says_what_it_kept_and_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["keep_reference", "--run", "laptop"])
    keep_reference.main()
    said = capsys.readouterr().out
    assert f"results/reference/laptop/{KEPT}.parquet: {TRIALS} trials, " in said
    assert "results/reference/laptop/claims.parquet: verdicts, " in said
    monkeypatch.setattr(sys, "argv", ["keep_reference", "--run", "smoke"])
    with pytest.raises(SystemExit, match=r"^error: results/smoke has no metrics to keep; run"):
        keep_reference.main()
