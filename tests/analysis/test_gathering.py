"""A reference is kept trial by trial: what is finished counts, and stands beside what an earlier
call kept.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, planted, row
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.settings import Cell, shard_name
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.keep_reference import keep
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import Metrics

NAME = "fashion_mnist"
GELU, SILU = Cell("gelu", "s_big"), Cell("silu", "s_big")
STEPS = range(3)


def run_of(cell: Cell, trials: range, code: str = "one", **origin: Any) -> Metrics:
    """Return the metrics of some trials of a cell, whose losses are as many tenths as the trial's
    number.
    """
    rows = [
        row(step, "train_loss", [trial / 10 for trial in range(trials.stop)], layer=0)
        for step in STEPS
    ]
    whole = planted({cell: rows}, NAME, trials=trials.stop)
    own = load_settings("paper", ROOT / "configs").of_variant(NAME)
    changes = {
        "scale": "paper",
        "settings": own,
        "settings_sha256": own.digest,
        "code": code,
    } | origin
    cells = {name: each.model_copy(update=changes) for name, each in whole.cells.items()}
    return Metrics(whole.where(trial=list(trials)).table, cells)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def finish(project: Path, cell: Cell, trials: range, **changes: Any) -> None:
    """Write the metrics of one job at paper scale."""
    path = (
        project / "results" / "paper" / "cells" / NAME / cell.name / f"{shard_name(trials)}.parquet"
    )
    metrics.write(run_of(cell, trials, **changes), path)


def forget(project: Path) -> None:
    shutil.rmtree(project / "results" / "paper")


def trials(project: Path) -> dict[str, list[int]]:
    """Return the trials that are kept of each cell, and require their losses to be their own."""
    kept = metrics.read(
        project / "results" / "reference" / "paper" / f"{NAME}.parquet", NAME, "paper"
    )
    found = kept.frame("train_loss")
    assert (found["value"] == found["trial"] / 10).all()
    return {name: sorted(each.values("trial")) for name, each in kept.by_cell.items()}


def test_finished_jobs_are_kept_before_they_are_aggregated(project: Path) -> None:
    finish(project, GELU, range(2))
    finish(project, GELU, range(2, 3))
    finish(project, SILU, range(1))
    (content,) = [kept.content for kept in keep(project, "paper") if kept.path.stem == NAME]
    assert content == "1 to 3 trials"
    assert trials(project) == {GELU.name: [0, 1, 2], SILU.name: [0]}


def test_trials_after_one_that_is_missing_wait_for_it(project: Path) -> None:
    finish(project, GELU, range(1))
    finish(project, GELU, range(2, 3))
    finish(project, SILU, range(1, 2))
    assert "1 trial" in {kept.content for kept in keep(project, "paper")}
    assert trials(project) == {GELU.name: [0]}
    finish(project, GELU, range(1, 2))
    keep(project, "paper")
    assert trials(project) == {GELU.name: [0, 1, 2]}


def test_what_a_machine_has_lost_stays_kept_and_is_added_to(project: Path) -> None:
    finish(project, GELU, range(2))
    keep(project, "paper")
    forget(project)
    finish(project, GELU, range(2, 3))
    finish(project, SILU, range(1))
    keep(project, "paper")
    assert trials(project) == {GELU.name: [0, 1, 2], SILU.name: [0]}


def test_jobs_beyond_aggregated_trials_count_too(project: Path) -> None:
    metrics.write(
        run_of(GELU, range(2)), project / "results" / "paper" / "metrics" / f"{NAME}.parquet"
    )
    finish(project, GELU, range(1, 3))
    keep(project, "paper")
    assert trials(project) == {GELU.name: [0, 1, 2]}


def test_trials_of_other_code_are_replaced_and_not_added_to(project: Path) -> None:
    finish(project, GELU, range(2))
    keep(project, "paper")
    forget(project)
    finish(project, GELU, range(2, 3), code="other")
    with pytest.raises(
        UserError, match=r"more trials of gelu-s_big than the run, by one; the run is by other"
    ):
        keep(project, "paper")
    finish(project, GELU, range(2), code="other")
    keep(project, "paper")
    assert trials(project) == {GELU.name: [0, 1, 2]}
    kept = metrics.read(project / "results" / "reference" / "paper" / f"{NAME}.parquet")
    assert kept.cells[GELU.name].code == "other"


def test_code_that_is_in_no_commit_makes_no_reference(project: Path) -> None:
    finish(project, SILU, range(2))
    finish(project, GELU, range(2), code="0.1.0 at 1f026d9-dirty")
    with pytest.raises(
        UserError, match=f"^{GELU.name}: trained by code that is in no commit.*forcerun train"
    ):
        keep(project, "paper")
    assert not (project / "results" / "reference").exists()


def test_a_cell_of_other_settings_is_dropped_when_its_experiment_is_run_anew(project: Path) -> None:
    own = load_settings("paper", ROOT / "configs").of_variant(NAME)
    other = own.model_copy(update={"seed": 1})
    finish(project, GELU, range(2), settings=other, settings_sha256=other.digest)
    keep(project, "paper")
    forget(project)
    finish(project, SILU, range(1))
    keep(project, "paper")
    assert trials(project) == {SILU.name: [0]}


def test_a_setting_that_came_later_drops_nothing(project: Path) -> None:
    """What was kept has the digest of the settings that there were then."""
    finish(project, SILU, range(2), settings_sha256="of fewer settings")
    keep(project, "paper")
    forget(project)
    finish(project, GELU, range(1))
    keep(project, "paper")
    assert trials(project) == {GELU.name: [0], SILU.name: [0, 1]}


def test_trials_that_stop_each_at_its_own_step_are_not_added(project: Path) -> None:
    one = planted({GELU: [row(0, "train_loss", [0.0])]}, NAME, training__stop_near_linear_fit=0.1)
    stopping = one.settings
    finish(project, GELU, range(2), settings=stopping)
    keep(project, "paper")
    forget(project)
    finish(project, GELU, range(2, 3), settings=stopping)
    with pytest.raises(
        UserError, match="each trial of gelu-s_big stops at a step of its own, so none can be added"
    ):
        keep(project, "paper")


def test_a_figure_is_drawn_anew_from_trials_that_no_run_has_drawn(project: Path) -> None:
    for name in ("rotated_factors", NAME):
        reference = metrics.read(
            ROOT / "results" / "reference" / "laptop" / f"{name}.parquet", name
        )
        for cell, each in reference.by_cell.items():
            own = load_settings("paper", ROOT / "configs").of_variant(
                name, each.cells[cell].variant
            )
            changes = {"scale": "paper", "settings": own, "settings_sha256": own.digest}
            origin = each.cells[cell].model_copy(update=changes)
            few = Metrics(each.where(trial=[0]).table, {cell: origin})
            metrics.write(
                few, project / "results" / "paper" / "cells" / name / cell / "0-0.parquet"
            )
    kept = {each.path.name for each in keep(project, "paper")}
    assert kept == {
        "fashion_mnist.parquet",
        "rotated_factors.parquet",
        "claims.parquet",
        "figure_6.png",
        "figure_14.png",
        "verdicts.png",
    }
