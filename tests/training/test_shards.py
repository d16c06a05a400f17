"""The trials of a cell have the same rows, in the same order, however they are put into jobs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import MINIBATCH, NAME, MakeJob, refused
from lowrank_dynamics.config.cell import shard_name
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.aggregation import aggregate
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.training.build import Job
from lowrank_dynamics.training.jobs import train_job

STOPPING = {"training__stop_near_linear_fit": 0.3, "training__steps": 400, "observe__loss": 5}
CELLS: list[tuple[str, str, dict[str, Any]]] = [
    ("elu", "full", STOPPING),
    ("rrelu", "full", {"training__steps": 12, "observe__singular_structure": 7}),
    ("elu", "full", {"observe__subspace_reference": 7, "observe__singular_structure": 3}),
    ("gelu", "s_big", {"observe__loss_gradient": 4, "network__shares_draw": False}),
    ("gelu", "full", {"training__project": "inside", "training__block": "random"}),
    ("gelu", "full", {**MINIBATCH, "training__optimizer": "muon"}),
]


def trained(folder: Path, jobs: list[Job]) -> Path:
    """Write what jobs of one cell measure, and return its folder."""
    for each in jobs:
        found = train_job(each, "laptop", None, threads=1, started=datetime.now(UTC))
        metrics.write(found, folder / each.cell.name / f"{shard_name(each.trials)}.parquet")
    return folder / jobs[0].cell.name


def rows(found: Metrics) -> pd.DataFrame:
    return found.table.to_pandas().astype({"quantity": str})


@pytest.mark.parametrize(("activation", "network", "changes"), CELLS)
def test_shards_have_the_rows_of_the_whole(
    job: MakeJob, tmp_path: Path, activation: str, network: str, changes: dict[str, Any]
) -> None:
    name = f"{activation}-{network}"
    expected = aggregate(
        trained(tmp_path, [job(activation, network, **changes)]).glob("*"), NAME, "laptop", 3
    )
    for number, shards in enumerate(
        [[range(2), range(2, 3)], [range(each, each + 1) for each in range(3)]]
    ):
        folder = trained(
            tmp_path / str(number), [job(activation, network, each, **changes) for each in shards]
        )
        found = aggregate(sorted(folder.glob("*")), NAME, "laptop", 3)
        assert rows(found).equals(rows(expected))
        assert found.settings == expected.settings
        assert found.cells[name].settings_sha256 == expected.cells[name].settings_sha256


def test_fewer_trials_are_the_first_of_the_whole(job: MakeJob, tmp_path: Path) -> None:
    folder = trained(
        tmp_path, [job("elu", "full", each, **STOPPING) for each in (range(2), range(2, 3))]
    )
    few, whole = (
        aggregate([folder / "0-1.parquet"], NAME, "laptop", 2),
        aggregate(sorted(folder.glob("*"))),
    )
    assert few.settings.trials == 2
    shared = rows(whole.within(2, ["elu"], ["full"]))
    shared = shared[
        shared["step"] <= rows(few)["step"].max()
    ]  # the last of all may be another one's
    assert rows(few)["value"].tolist() == shared["value"].tolist()


def test_missing_trials_are_named(job: MakeJob, tmp_path: Path) -> None:
    files = sorted(
        trained(tmp_path, [job("elu", "full", each) for each in (range(1), range(2, 3))]).glob("*")
    )
    with refused("elu-full lacks the trials 1; run the jobs that train them"):
        aggregate(files, NAME, "laptop", 3)
    with refused("elu-full lacks the trials 1, 3, 4; run"):
        aggregate(files, NAME, "laptop", 5)
    with refused("elu-full has trials beyond 1 or some of them twice"):
        aggregate([files[0], files[0]], NAME, "laptop", 1)


def test_a_trial_that_diverges_is_named_by_its_number_in_the_experiment(job: MakeJob) -> None:
    wild = job("elu", "full", range(2, 3), training__learning_rate=1e5)
    with refused(r"the training loss is not finite at step \d+ in trial 2; lower"):
        train_job(wild, "laptop", None, threads=1, started=datetime.now(UTC))
