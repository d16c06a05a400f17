"""An interrupted training resumes with the same numbers, bit for bit, and from its own state
only.
"""

import logging
import re
import shutil
import signal
import subprocess
import time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import MakeJob, assert_same, refused, rows_of
from lowrank_dynamics import source_code
from lowrank_dynamics.errors import Interrupted
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.seal import SEAL, sealing
from lowrank_dynamics.training import checkpoints
from lowrank_dynamics.training.checkpoints import Checkpoint
from lowrank_dynamics.training.jobs import checkpoint_of
from runs import LOWRANK, environment

RENEWED = {
    "training__project": "inside",
    "training__block": "gradient",
    "training__renew_every": 7,
}
RUNS: list[tuple[str, str, dict[str, Any]]] = [
    ("elu", "full", {}),
    ("elu", "full", {"training__stop_near_linear_fit": 0.3, "training__steps": 400}),
    ("rrelu", "full", {}),
    ("elu", "full", {"observe__subspace_reference": 7, "observe__loss_gradient": 5}),
    ("gelu", "s_big", {}),
    ("gelu", "full", {"training__project": "outside"}),
    ("gelu", "full", RENEWED),
    ("elu", "full", {"training__optimizer": "sgd_momentum", "training__batch_size": 10}),
    ("rrelu", "full", {"training__optimizer": "adam", "training__batch_size": 7}),
    ("gelu", "full", {"training__optimizer": "muon", "training__weight_decay": 0.1}),
]


@pytest.mark.parametrize(("activation", "parameterization", "changes"), RUNS)
def test_it_goes_on_with_the_same_numbers(
    job: MakeJob, activation: str, parameterization: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    """Cut off again and again, at other places."""
    run, path = job(activation, parameterization, **changes), tmp_path / "state.pt"
    whole = list(rows_of(run))
    for rows in (1, len(whole) // 3, len(whole) // 2, len(whole) - 3):
        cut_off = rows_of(run, checkpoint_of(run, path, every=0))
        assert_same(list(islice(cut_off, rows)), whole[:rows])
        cut_off.close()  # type: ignore[attr-defined]
    assert path.exists()
    assert_same(list(rows_of(run, checkpoint_of(run, path, every=0))), whole)


@pytest.mark.parametrize("problem", [OSError, MemoryError, Interrupted])
def test_a_state_that_cannot_be_read_now_is_kept(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    run, path = job(), tmp_path / "state.pt"
    list(islice(rows_of(run, checkpoint_of(run, path, every=0)), 60))

    def fail(_: Path) -> bytes:
        raise problem

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "intact", fail)
        with pytest.raises(problem):
            checkpoint_of(run, path, every=60).load()
    assert checkpoint_of(run, path, every=60).load() is not None


def test_a_state_of_other_settings_or_other_code_is_not_used(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, path = job(), tmp_path / "state.pt"

    def cut_off() -> None:
        list(islice(rows_of(run, checkpoint_of(run, path, every=0)), 60))

    cut_off()
    other = job(training__learning_rate=0.02)
    with caplog.at_level(logging.WARNING):
        assert checkpoint_of(other, path, every=60).load() is None
    assert (
        "was written with different settings, data, code, torch or threads and is not used"
        in caplog.text
    )
    assert not path.exists()
    path.with_name("state.pt.unused").replace(path)
    assert checkpoint_of(run, path, every=60).load() is not None
    package = Path(shutil.copytree(source_code.PACKAGE, tmp_path / source_code.NAME))
    monkeypatch.setattr(source_code, "PACKAGE", package)
    monkeypatch.setattr(source_code, "_file", cache(source_code._file.__wrapped__))

    def after_an_edit(module: str) -> Checkpoint:
        file = package / module
        file.write_text(f"{file.read_text()}# edited\n")
        return checkpoint_of(run, path, every=60)

    for module in (
        "figures/style.py",
        "data/fashion_mnist.py",
        "analysis/claims.py",
        "config/registries.py",
    ):
        assert after_an_edit(module).load() is not None, module
    imported = (
        "models/subspaces.py",
        "data/clusters.py",
        "training/observables/curves.py",
        "training/checkpoints.py",
    )
    keys = [
        checkpoint_of(run, path, every=60).key,
        *(after_an_edit(module).key for module in imported),
    ]
    assert len(set(keys)) == len(keys)
    assert after_an_edit("training/loop.py").load() is None
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 100, 3000])
def test_a_state_that_cannot_be_read_is_not_used(
    job: MakeJob, tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    run, path = job(), tmp_path / "state.pt"
    list(islice(rows_of(run, checkpoint_of(run, path, every=0)), 60))
    path.write_bytes(path.read_bytes()[:length])
    with caplog.at_level(logging.WARNING):
        rows = list(rows_of(run, checkpoint_of(run, path, every=60)))
    assert "cannot be read and is not used" in caplog.text
    assert_same(rows, list(rows_of(run)))


def test_a_state_of_another_device_is_kept_for_it(job: MakeJob, tmp_path: Path) -> None:
    run, path = job(), tmp_path / "state.pt"
    list(islice(rows_of(run, checkpoint_of(run, path, every=0)), 60))
    elsewhere = checkpoint_of(run, path, every=60)
    elsewhere.device = "cuda (A100)"
    with refused(r"was written at step \d+ on cpu, and this is cuda \(A100\), which rounds"):
        elsewhere.load()
    assert checkpoint_of(run, path, every=60).load() is not None


def test_where_no_state_can_be_written_none_is_promised(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "state.pt", "to resume$"),
        (tmp_path / "file" / "state.pt", "to start over, because no checkpoint could be saved"),
    ):
        kept = checkpoint_of(run := job(), path, every=60)
        rows = rows_of(run, kept)
        next(rows)
        kept.interrupt()
        with pytest.raises(Interrupted, match=message):
            list(rows)


def test_nothing_in_a_state_is_executed(job: MakeJob, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    with sealing(tmp_path / "state.pt") as partial:
        torch.save({"key": "", "seal": SEAL, "state": Harmful()}, partial)
    assert checkpoint_of(job(), tmp_path / "state.pt", every=60).load() is None
    assert not (tmp_path / "executed").exists()


def test_a_job_ends_with_the_run_that_started_it(tmp_path: Path) -> None:
    """Even if that is killed: it writes its state, and the next run resumes from there."""
    run = subprocess.Popen(["sleep", "600"])
    state, output = tmp_path / "state.pt", tmp_path / "cell.parquet"
    command = [*LOWRANK, "train", "--run", "laptop", "--experiment", "case_study"]
    command += ["--cell", "rrelu-full", "--output", str(output), "--checkpoint", str(state)]
    with subprocess.Popen(
        command, env=environment(LOWRANK_RUN=str(run.pid)), stderr=subprocess.PIPE, text=True
    ) as job:
        assert job.stderr
        assert "step 0 of" in job.stderr.readline()
        run.kill()
        said = job.stderr.read()
    run.wait()
    assert "the run that started this job has ended" in said
    assert re.search(r"error: case_study rrelu-full: stopped at step \d+", said)
    assert job.returncode == 130
    assert state.exists()
    assert not output.exists()


@pytest.mark.slow
def test_a_killed_job_goes_on_when_it_is_started_again(tmp_path: Path) -> None:
    """SIGKILL at any point: between steps, while a state is written, while the metrics are
    written.
    """
    output, state = tmp_path / "cell.parquet", tmp_path / "state.pt"
    command = [*LOWRANK, "train", "--run", "smoke"]
    command += ["--set", "experiments.case_study.training.steps=400"]
    command += ["--experiment", "case_study", "--cell", "rrelu-full"]
    resumable = [*command, "--output", str(output), "--checkpoint", str(state), "--every", "0"]
    for awaited in (
        state,
        state,
        state.with_name("state.pt.partial"),
        output.with_name("cell.parquet.partial"),
    ):
        before = awaited.stat().st_mtime_ns if awaited.exists() else 0
        job = subprocess.Popen(resumable, env=environment(), stderr=subprocess.DEVNULL)
        while job.poll() is None and not (awaited.exists() and awaited.stat().st_mtime_ns > before):
            time.sleep(0.0005)
        job.send_signal(signal.SIGKILL)
        job.wait()
        if output.exists():  # the last kill came too late
            metrics.read(output)
            break
    subprocess.run(resumable, env=environment(), check=True, capture_output=True)
    subprocess.run(
        [*command, "--output", str(tmp_path / "whole.parquet")], env=environment(), check=True
    )
    assert metrics.read(output).table.equals(metrics.read(tmp_path / "whole.parquet").table)
    assert not state.exists()
