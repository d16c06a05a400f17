"""What the machine refuses ends a command with one sentence, and leaves nothing half-written."""

import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from conftest import ROOT, change, refused, settings_of
from lowrank_dynamics.cli import stages
from lowrank_dynamics.cli.commands import app
from lowrank_dynamics.cli.interruption import can_follow
from lowrank_dynamics.storage.places import require_place
from runs import LOWRANK, SMOKE, copied, environment, heeding_interrupts, ran, snakemake

pytestmark = pytest.mark.slow

TRAIN = ["train", "--run", "smoke", "--experiment", "theory_setting", "--cell", "elu-full"]
PREPARE = ["prepare", "fashion_mnist", "--training-images", "100", "--test-images", "100"]

Ended = subprocess.CompletedProcess[str]


def command(*arguments: str, **options: Any) -> Ended:
    """Run one of the project's commands and return how it ended and what it said."""
    return ran(ROOT, *LOWRANK, *arguments, **options)


def small_files() -> None:
    """Let no file grow beyond 2 kB, which is what a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


def last_line(run: Ended) -> str:
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    return run.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [TRAIN, PREPARE], ids=["train", "prepare"])
def test_a_full_disk(arguments: list[str], tmp_path: Path) -> None:
    output = tmp_path / "results" / "output"
    writing = [*arguments, "--output", str(output)]
    said = last_line(command(*writing, preexec_fn=small_files))
    assert said.startswith(f"error: {output} cannot be read or written (")
    assert "File too large" in said
    assert list(output.parent.iterdir()) == []
    assert command(*writing).returncode == 0
    assert output.exists()


def test_a_full_disk_is_told_though_the_log_is_on_it(tmp_path: Path) -> None:
    """Where the standard error cannot be written either, the sentence is on the standard output."""
    output, env = str(tmp_path / "output"), environment(PYTHONUNBUFFERED="")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        disk = {"stderr": full, "preexec_fn": small_files}
        run = command(*TRAIN, "--output", output, env=env, **disk)
    assert run.returncode == 1
    assert run.stdout.startswith(f"error: {output} cannot be read or written (")


def test_a_results_folder_that_is_read_only(tmp_path: Path) -> None:
    folder = copied(tmp_path / "project")
    mount = f"mount -t tmpfs -o ro none {folder}/results"
    workflow = f"exec snakemake --cores 1 {' '.join(SMOKE)}"
    run = ran(folder, "unshare", "--mount", "sh", "-c", f"{mount} && {workflow}")
    if run.stderr.startswith(("mount:", "unshare:")):
        pytest.skip(f"nothing can be mounted here: {run.stderr.strip()}")
    assert run.returncode == 1
    said = "nothing can be written to results (Read-only file system); let this user write there"
    assert said in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "make", [Path.touch, lambda path: path.symlink_to("/nowhere/at/all")], ids=["file", "link"]
)
def test_results_that_are_no_folder(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "results")
    run = snakemake(tmp_path, "-n", "--snakefile", str(ROOT / "Snakefile"), *SMOKE)
    said = "error: results exists but is not a folder, and the run would write into it; rename it"
    assert said in run.stderr.splitlines()
    assert run.returncode == 1
    assert "Traceback" not in run.stderr


def test_a_project_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with refused("nothing can be written to .*; let this user write there, or .* --directory"):
        require_place(tmp_path)


def test_a_locale_without_the_letters_of_a_page(tmp_path: Path) -> None:
    """Files are UTF-8 whatever the locale; what a terminal lacks it gets as numbers."""
    locale = ["-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")]
    if shutil.which("localedef") is None or ran(tmp_path, "localedef", *locale).returncode > 1:
        pytest.skip("no locale can be made here")
    latin = environment(LC_ALL="en_US.ISO-8859-1", LOCPATH=str(tmp_path), PYTHONUTF8="0")
    metrics, judged = "results/reference/laptop/fashion_mnist.parquet", tmp_path / "claims.parquet"
    run = command("claims", metrics, "--output", str(judged), env=latin)
    assert run.returncode == 0, run.stderr
    page = judged.with_suffix(".md").read_text(encoding="utf-8")
    assert "≥" in page
    assert "was not run" not in page  # the claims are those about this experiment
    run = command("claims", "κ.parquet", "--output", str(judged), env=latin)
    assert "error: " in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_that_is_asked_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """It ends with one sentence and leaves nothing but the state of a training, to resume."""
    output, state = tmp_path / "cell.parquet", tmp_path / "state.pt"
    train = ["train", "--run", "paper", "--experiment", "case_study", "--cell", "elu-full"]
    places = ["--output", str(output), "--checkpoint", str(state)]
    options = {"cwd": ROOT, "env": environment(), "preexec_fn": heeding_interrupts}
    pipe = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*LOWRANK, *train, *places], **options, **pipe) as job:
        assert job.stderr is not None
        first = job.stderr.readline()
        job.send_signal(number)
        said = job.stderr.read()
    assert "case_study elu-full: step 0 of 2500" in first
    stopped = (
        r"error: case_study elu-full: stopped at step \d+; run the same command again to resume"
    )
    assert re.search(rf"{stopped}\n$", said)
    assert "Traceback" not in said
    assert job.returncode == 130
    assert list(tmp_path.iterdir()) == [state]


def test_a_job_whose_run_ended_while_it_was_imported(tmp_path: Path) -> None:
    """It stops before it does anything."""
    if not can_follow():
        pytest.skip("no process can be followed here")
    with subprocess.Popen(["true"]) as run:
        run.wait()
    output = tmp_path / "output"
    job = command(*TRAIN, "--output", str(output), env=environment(LOWRANK_RUN=str(run.pid)))
    assert job.stderr == "error: the run that started this job has ended; run it again\n"
    assert job.returncode == 130
    assert not output.exists()


def test_a_state_that_cannot_be_written_stops_no_training(tmp_path: Path) -> None:
    """But the metrics, which cannot be written either, end it."""
    places = ["--output", str(tmp_path / "o"), "--checkpoint", str(tmp_path / "state.pt")]
    run = command(*TRAIN, *places, "--every", "0", preexec_fn=small_files)
    assert "state.pt cannot be written, training continues without" in run.stderr
    assert "File too large" in last_line(run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ("4", "such as 0-4, and not '4'"),
        ("3-1", "such as 0-4, and not '3-1'"),
        ("0-9", "has 2 trials, numbered from 0"),
    ],
)
def test_trials_that_there_are_not(tmp_path: Path, trials: str, message: str) -> None:
    output = str(tmp_path / "cell.parquet")
    assert message in last_line(command(*TRAIN, "--trials", trials, "--output", output))


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.write_text("a file")
    said = last_line(command(*PREPARE, "--output", str(results / "images")))
    assert f"error: {results} cannot be read or written (File exists)" in said


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    figure = ["figure", "figure_6", "--metrics", "no.parquet", "--output", str(tmp_path / "figure")]
    said = last_line(command(*figure))
    assert "error: no.parquet is not a readable file of metrics" in said


FIGURE = ["figure", "--output", "figure", "--metrics", "one.parquet"]
REPORT = ["--captions", "captions", "--output", "report.html"]
FEATURES = ["features", "--output", "features", "--images", "images", "--convolutions", "tiny"]
FEATURES += ["--pool", "1", "--part", "train-0-9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [*FIGURE, "longer"],
            "longer is drawn from fashion_mnist_longer and rotated_factors_longer, one file each; 1"
            " are named",
        ),
        (
            [*FIGURE, "--metrics", "two.parquet", "sensitivity"],
            "is drawn from sensitivity.parquet, one file each; 2 are named",
        ),
        (
            ["report", "holiday.png", *REPORT],
            "holiday.png is not a figure of a run; the figures are overview, emergence",
        ),
        ([*FEATURES, "--size", "3"], "--size must be at least 4 for tiny, got 3"),
        (
            [*FEATURES, "--size", "8", "--part", "first"],
            "a part is train or test, a first and a last image, such as ",
        ),
        (
            [*FEATURES, "--size", "8", "--device", "cudda"],
            "there is no device 'cudda'; choose one of auto, cpu, cuda",
        ),
        (
            [*FEATURES, "--size", "8", "--device", "mps"],
            "the device mps is not supported, because Apple's GPUs have no float64, in which",
        ),
        (
            ["claims", "--run", "smoke", "--output", "notes.md"],
            "notes.md: a table's name must end in .parquet; its page is written beside it",
        ),
        (
            ["compare", "no.parquet", "--output", "c.parquet", "--reference", "nowhere"],
            "nowhere is not a folder; name that of a reference",
        ),
        (["outcome", "--run", "lptop"], "there is no scale 'lptop'; choose one of converged"),
    ],
)
def test_a_slip_of_the_keyboard(arguments: list[str], message: str) -> None:
    with refused(re.escape(message)):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_folder_in_place_of_an_output_is_told_before_all_work(tmp_path: Path) -> None:
    run = command(*TRAIN, "--output", str(tmp_path))
    assert "Invalid value for '--output'" in run.stderr
    assert run.returncode == 2


def test_a_device_whose_memory_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("lowrank_dynamics.training.jobs.train", refuse)
    monkeypatch.chdir(ROOT)
    with refused(r"theory_setting elu-full does not fit into the memory of the device \w+; lower"):
        stages.train(tmp_path / "output", "theory_setting", "elu-full", "smoke")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_while_it_is_imported(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "typer.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    env = environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT / 'workflow'}")
    run = command("check", env=env, preexec_fn=heeding_interrupts)
    assert run.returncode == 130
    assert run.stderr == f"error: stopped by {number.name}; run the same command again\n"


def test_settings_that_change_while_a_run_goes_on(folder: Path, tmp_path: Path) -> None:
    """Those of another experiment do not matter to a job, as long as they are sound."""
    smoke = folder / "smoke.yaml"
    planned = settings_of("smoke", folder).of_variant("theory_setting").digest
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")  # a package reads its own settings
    train = [*TRAIN, "--output", "cell", "--planned", planned]
    env = environment(PYTHONPATH=str(tmp_path / "workflow"))

    def trained() -> Ended:
        return ran(tmp_path, *LOWRANK, *train, env=env)

    change(smoke, "experiments.fashion_mnist.trials", 1)
    assert trained().returncode == 0
    change(smoke, "experiments.fashion_mnist.trials", "one")
    said = last_line(trained())
    assert "error: the settings in configs changed during the run, and now: " in said
    assert "fashion_mnist.trials" in said
    change(smoke, "experiments.fashion_mnist.trials", 1)
    change(smoke, "experiments.theory_setting.training.steps", 50)
    said = last_line(trained())
    assert "changed during the run, those of theory_setting too; run again" in said


def test_code_that_changes_while_a_run_goes_on(tmp_path: Path) -> None:
    run = command(*TRAIN, "--output", str(tmp_path / "cell"), "--planned-code", "of yesterday")
    changed = "the code changed during the run; run again to train with the new one"
    assert last_line(run) == f"error: {changed}"
