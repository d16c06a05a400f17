"""A reference is kept trial by trial: finished jobs count, and join what an earlier call kept."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, planted, refused, row, run_named, settings_of
from lowrank_dynamics.config.cell import Cell, shard_name
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import Metrics
from tools.keep_reference import keep
from tools.thinning import thinned

NAME, ROTATED = "fashion_mnist", "rotated_factors"
SETTINGS = settings_of("paper").of_variant(NAME)
GELU, SILU = Cell("gelu", "s_big"), Cell("silu", "s_big")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return the run at paper scale, of which nothing is there yet."""
    return run_named("paper", tmp_path)


def measured(cell: Cell, trials: range, **origin: Any) -> Metrics:
    """Return metrics of some trials of a cell; a trial's losses are a tenth of its number."""
    losses = [trial / 10 for trial in range(trials.stop)]
    rows = [row(step, "train_loss", losses, layer=0) for step in range(3)]
    whole = planted({cell: rows}, NAME, trials=trials.stop)
    digest = {"settings": SETTINGS, "settings_sha256": SETTINGS.digest}
    changes = {"scale": "paper", "code": "one"} | digest | origin
    cells = {cell.name: whole.cells[cell.name].model_copy(update=changes)}
    return Metrics(whole.where(trial=list(trials)).table, cells)


def finish(run: Run, cell: Cell, trials: range, **origin: Any) -> None:
    """Write the metrics of one job."""
    path = run.cell_metrics(NAME, cell.name, shard_name(trials))
    metrics.write(measured(cell, trials, **origin), path)


def keep_and_lose(run: Run) -> None:
    """Keep the run, and remove its results as if on another machine."""
    keep(run)
    shutil.rmtree(run.results)


def reference(run: Run) -> Metrics:
    return metrics.read(run.reference / f"{NAME}.parquet", NAME, "paper")


def kept_trials(run: Run) -> dict[str, list[int]]:
    """Return the trials that are kept of each cell, and require that their losses are theirs."""
    kept = reference(run)
    losses = kept.frame("train_loss")
    assert (losses["value"] == losses["trial"] / 10).all()
    return {name: sorted(cell.values("trial")) for name, cell in kept.by_cell.items()}


def test_finished_jobs_are_kept_before_they_are_aggregated(run: Run) -> None:
    finish(run, GELU, range(2))
    finish(run, GELU, range(2, 3))
    finish(run, SILU, range(1))
    contents = {kept.path.stem: kept.content for kept in keep(run)}
    assert contents[NAME] == "1 to 3 trials"
    assert kept_trials(run) == {GELU.name: [0, 1, 2], SILU.name: [0]}


def test_trials_after_one_that_is_missing_wait_for_it(run: Run) -> None:
    finish(run, GELU, range(1))
    finish(run, GELU, range(2, 3))
    finish(run, SILU, range(1, 2))
    assert "1 trial" in {kept.content for kept in keep(run)}
    assert kept_trials(run) == {GELU.name: [0]}
    finish(run, GELU, range(1, 2))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1, 2]}


def test_what_a_machine_has_lost_stays_kept_and_is_added_to(run: Run) -> None:
    finish(run, GELU, range(2))
    keep_and_lose(run)
    finish(run, GELU, range(2, 3))
    finish(run, SILU, range(1))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1, 2], SILU.name: [0]}


def test_jobs_beyond_aggregated_trials_count_too(run: Run) -> None:
    metrics.write(measured(GELU, range(2)), run.metrics(NAME))
    finish(run, GELU, range(1, 3))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1, 2]}


def test_trials_of_other_code_are_replaced_and_not_added_to(run: Run) -> None:
    finish(run, GELU, range(2))
    keep_and_lose(run)
    finish(run, GELU, range(2, 3), code="other")
    with refused("more trials of gelu-s_big than the run, by one; the run is by other"):
        keep(run)
    finish(run, GELU, range(2), code="other")
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1, 2]}
    assert reference(run).cells[GELU.name].code == "other"


def test_code_that_is_in_no_commit_makes_no_reference(run: Run) -> None:
    finish(run, SILU, range(2))
    finish(run, GELU, range(2), code="0.1.0 at 1f026d9-dirty")
    with refused(f"^{GELU.name}: trained by code that is in no commit.*forcerun train"):
        keep(run)
    assert not run.reference.parent.exists()


def test_a_cell_of_other_settings_is_dropped_when_its_experiment_is_run_anew(run: Run) -> None:
    other = SETTINGS.model_copy(update={"seed": 1})
    finish(run, GELU, range(2), settings=other, settings_sha256=other.digest)
    keep_and_lose(run)
    finish(run, SILU, range(1))
    keep(run)
    assert kept_trials(run) == {SILU.name: [0]}


def test_a_setting_that_came_later_drops_nothing(run: Run) -> None:
    """What was kept has the digest of the settings that there were then."""
    finish(run, SILU, range(2), settings_sha256="of fewer settings")
    keep_and_lose(run)
    finish(run, GELU, range(1))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0], SILU.name: [0, 1]}


def test_trials_that_stop_each_at_its_own_step_are_not_added(run: Run) -> None:
    losses = {GELU: [row(0, "train_loss", [0.0])]}
    stopping = planted(losses, training__stop_near_linear_fit=0.1).settings
    finish(run, GELU, range(2), settings=stopping)
    keep_and_lose(run)
    finish(run, GELU, range(2, 3), settings=stopping)
    with refused("each trial of gelu-s_big stops at its own step, so none can be added"):
        keep(run)


def thin(run: Run, most: int) -> None:
    """Thin the reference of the run to so many steps, and mark every cell, as once was done."""
    kept = thinned(reference(run), most, numbers=0)
    cells = {}
    for name, origin in kept.cells.items():
        cells[name] = origin.model_copy(update={"thinned_to": most})
    metrics.write(Metrics(kept.table, cells), run.reference / f"{NAME}.parquet")


@pytest.mark.parametrize("cell", [GELU, SILU], ids=["further trials", "another cell"])
def test_what_has_lost_steps_is_not_added_to_a_run(run: Run, cell: Cell) -> None:
    finish(run, GELU, range(2))
    keep_and_lose(run)
    thin(run, most=2)
    finish(run, cell, range(2, 3) if cell == GELU else range(1))
    with refused(f"the reference keeps only 2 steps of {GELU.name}; run all trials of {NAME}"):
        keep(run)
    finish(run, GELU, range(3))
    keep(run)
    assert kept_trials(run)[GELU.name] == [0, 1, 2]


def test_what_is_said_to_be_thinned_but_lost_no_steps_is_added(run: Run) -> None:
    finish(run, GELU, range(2))
    keep_and_lose(run)
    thin(run, most=4)
    finish(run, SILU, range(1))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1], SILU.name: [0]}


def test_what_has_lost_steps_stays_while_another_experiment_is_run(run: Run) -> None:
    finish(run, GELU, range(2))
    keep_and_lose(run)
    thin(run, most=2)
    rotated = planted({Cell("silu", "s_big", "psi_0"): [row(0, "loss", [1.0])]}, ROTATED)
    cells = {}
    for name, origin in rotated.cells.items():
        cells[name] = origin.model_copy(update={"scale": "paper"})
    metrics.write(Metrics(rotated.table, cells), run.metrics(ROTATED))
    keep(run)
    assert kept_trials(run) == {GELU.name: [0, 1]}


def test_a_figure_is_drawn_anew_from_trials_that_no_run_has_drawn(run: Run) -> None:
    laptop = run_named("laptop", ROOT)
    for name in (ROTATED, NAME):
        kept = metrics.read(laptop.reference / f"{name}.parquet", name)
        for cell, of_cell in kept.by_cell.items():
            origin = of_cell.cells[cell]
            settings = run.settings.of_variant(name, origin.variant)
            changes = {"settings": settings, "settings_sha256": settings.digest}
            at_paper_scale = origin.model_copy(update=changes | {"scale": "paper"})
            first_trial = Metrics(of_cell.where(trial=[0]).table, {cell: at_paper_scale})
            metrics.write(first_trial, run.cell_metrics(name, cell, "0-0"))
    assert {kept.path.name for kept in keep(run)} == {
        "fashion_mnist.parquet",
        "rotated_factors.parquet",
        "claims.parquet",
        "figure_6.png",
        "figure_14.png",
    }
