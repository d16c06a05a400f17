"""The same bytes twice, whatever happens on the way; and an edit reruns exactly what depends on
it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT, settings_of
from lowrank_dynamics.config.cell import shard_name
from lowrank_dynamics.config.figures import FIGURES, FORMATS
from lowrank_dynamics.storage import metrics
from runs import (
    SMOKE,
    assert_same_results,
    copied,
    environment,
    heeding_interrupts,
    planned,
    snakemake,
)

pytestmark = pytest.mark.slow

SETTINGS = settings_of("smoke")
PACKAGE = "workflow/lowrank_dynamics"
REPORT = {"Write the report", "All figures, verdicts and the report are there"}
JUDGED = {"Give a verdict on the claims at smoke scale"} | REPORT
"""What a dry run calls the report, and the verdicts with it, because it shows them."""


def drawn(*figures: str) -> set[str]:
    animated = {f"Animate {name}" for name in figures if FIGURES[name].animated}
    return {f"Draw {name}" for name in figures} | animated | REPORT


def trained(*experiments: str, changed: str = "") -> set[str]:
    """Return what a dry run calls the training of some experiments, of `changed` trials, and all
    that follows.
    """
    cells = {
        f"Train {name} {cell.name}, trials {changed or shard_name(trials)}"
        for name in experiments
        for cell in SETTINGS.cells(name)
        for trials in SETTINGS.experiment(name).shards
    }
    figures = {
        name for name, figure in FIGURES.items() if set(figure.experiments) & set(experiments)
    }
    joined = {f"Aggregate the metrics of {name}" for name in experiments}
    return (
        cells
        | joined
        | drawn(*figures)
        | JUDGED
        | {"Compare the run at smoke scale with the reference"}
    )


def drawn_by(module: str) -> set[str]:
    """Return the figures that are drawn by a module, and what follows."""
    return drawn(*(name for name, figure in FIGURES.items() if figure.module == module))


CLUSTERS = [name for name, each in SETTINGS.experiments.items() if each.data.source == "clusters"]
APPENDED = ("", "# edited\n")
EDITS: dict[str, tuple[str, str, set[str]]] = {
    "configs/smoke.yaml": (
        "fashion_mnist:\n    trials: 2",
        "fashion_mnist:\n    trials: 1",
        trained("fashion_mnist", changed="0-0"),
    ),
    "configs/statements/claims.yaml": ("at_least: 0.9\n", "at_least: 0.95\n", JUDGED),
    f"{PACKAGE}/training/loop.py": (*APPENDED, trained(*SETTINGS.experiments)),
    f"{PACKAGE}/training/observables/gradient_over_eps.py": (*APPENDED, trained("first_gradient")),
    f"{PACKAGE}/data/clusters.py": (*APPENDED, trained(*CLUSTERS)),
    f"{PACKAGE}/figures/block_shares.py": (*APPENDED, drawn_by("block_shares")),
    "workflow/report/figure_6.rst": (*APPENDED, REPORT),
}


def test_nothing_is_left_to_do(finished: Path) -> None:
    assert "Nothing to be done" in planned(finished)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_reruns_exactly_what_depends_on_it(edited: Path, name: str) -> None:
    old, new, expected = EDITS[name]
    file = edited / name
    before, times = file.read_text(), file.stat()
    assert old in before
    file.write_text(before.replace(old, new) if old else before + new)
    try:
        plan = planned(edited)
    finally:
        file.write_text(before)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(re.findall(r"^ *Job \d+: (.*)$", plan, re.MULTILINE)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("experiments.fashion_mnist.trials=1", trained("fashion_mnist", changed="0-0")),
        ("device=cpu", set()),
    ],
)
def test_a_setting_of_one_run_reruns_exactly_what_depends_on_it(
    finished: Path, change: str, expected: set[str]
) -> None:
    run = snakemake(finished, "-n", *SMOKE, f"set={change}")
    assert set(re.findall(r"^ *Job \d+: (.*)$", run.stdout + run.stderr, re.MULTILINE)) == expected


def wait_for(condition: Callable[[], bool], job: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert job.poll() is None
        time.sleep(0.05)


def is_alive(group: int) -> bool:
    """Return whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """On one core until Snakemake is killed halfway, which ends its job too; a second run beside it
    is refused.
    """
    folder, figures = copied(tmp_path / "project"), ("figure_6", "figure_8")
    targets = [
        *SMOKE,
        "--",
        *(f"figures/smoke/{figure}.{extension}" for figure in figures for extension in FORMATS),
    ]
    command = ["snakemake", "--cores", "1", *targets]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        command, cwd=folder, env=environment(), start_new_session=True, **quiet
    ) as killed:
        cells = folder / "results" / "smoke" / "cells"
        wait_for(lambda: len(list(cells.glob("*/*/*.parquet"))) >= 6, killed)
        os.killpg(killed.pid, signal.SIGSTOP)  # so that it does not end beside what follows
        refused = snakemake(folder, *SMOKE)
        planned(folder)
        killed.kill()
        os.killpg(killed.pid, signal.SIGCONT)
        killed.wait()
        deadline = time.monotonic() + 60
        while is_alive(killed.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert refused.returncode != 0
    assert re.search(
        rf"^note: a run at smoke scale, process {killed.pid} on \S+ since [-0-9: ]+ is active in"
        r" this folder: wait",
        refused.stderr,
        re.MULTILINE,
    )
    assert "Directory cannot be locked" in refused.stdout + refused.stderr
    run = snakemake(folder, *targets)
    assert run.returncode == 0, run.stderr
    assert f"process {killed.pid} on " in run.stderr
    assert (
        "was killed; its lock is removed, and the next run resumes where it stopped" in run.stderr
    )
    assert_same_results(folder, finished, figures)


def test_a_run_at_another_scale_is_refused_in_the_same_folder(tmp_path: Path) -> None:
    """Though it would write other files, which is all that Snakemake looks at."""
    (tmp_path / ".snakemake").mkdir()
    program = "import sys; from pathlib import Path; from lowrank_dynamics.storage import occupancy"
    program += (
        "; occupancy.occupy(Path('.snakemake'), 'paper', local=True); print(flush=True);"
        " sys.stdin.read()"
    )
    pipe, cell = subprocess.PIPE, "results/smoke/cells/theory_setting/elu-full/0-1.parquet"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdin=pipe, stdout=pipe
    ) as paper:
        assert paper.stdout is not None
        paper.stdout.readline()
        run = snakemake(ROOT, "--directory", str(tmp_path), *SMOKE, "--", cell)
        paper.communicate(b"")
    assert run.returncode == 1
    assert f"error: a run at paper scale, process {paper.pid} on " in run.stderr
    assert not (tmp_path / cell).exists()
    assert snakemake(ROOT, "--directory", str(tmp_path), *SMOKE, "--", cell).returncode == 0


def test_a_run_that_is_interrupted_says_so_and_goes_on(tmp_path: Path) -> None:
    """Ctrl-C: the job, long enough to be met, ends with one sentence, and the next run resumes to
    the same rows.
    """
    folder = copied(tmp_path / "project")
    smoke = folder / "configs" / "smoke.yaml"
    smoke.write_text(smoke.read_text().replace("      steps: 60\n", "      steps: 3000\n", 1))
    cell = "results/smoke/cells/case_study/elu-full/0-1.parquet"
    log = folder / "results" / "smoke" / "logs" / "train" / "case_study" / "elu-full" / "0-1.log"
    command = ["snakemake", "--cores", "1", *SMOKE, "--", cell]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        start_new_session=True,
        preexec_fn=heeding_interrupts,  # noqa: PLW1509
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        wait_for(lambda: log.exists() and "step 300 of" in log.read_text(), run)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate()[0].decode()
    assert run.returncode != 0
    assert re.search(r"error: case_study elu-full: stopped at step \d+; run the same", said)
    assert "Traceback" not in said
    again = snakemake(folder, *SMOKE, "--", cell)
    assert again.returncode == 0, again.stderr
    assert "resuming at step" in log.read_text()
    resumed = metrics.read(folder / cell).table
    (folder / cell).unlink()
    whole = snakemake(folder, *SMOKE, "--", cell)
    assert whole.returncode == 0, whole.stderr
    assert metrics.read(folder / cell).table.equals(resumed)


def test_sources_dated_in_the_future_cost_no_result(finished: Path, tmp_path: Path) -> None:
    """A wrong clock, or a server's that is ahead: content counts, and times do not."""
    folder, target = copied(tmp_path / "project"), "figures/smoke/figure_7.png"
    ahead = time.time() + 86_400
    for path in folder.rglob("*"):
        os.utime(path, (ahead, ahead), follow_symlinks=False)
    run = snakemake(folder, *SMOKE, "--", target)
    assert run.returncode == 0, run.stderr
    assert (folder / target).read_bytes() == (finished / target).read_bytes()
    assert "Nothing to be done" in planned(folder, target)


def test_results_dated_in_the_future_are_named_before_a_job_starts(tmp_path: Path) -> None:
    folder, cell = (
        copied(tmp_path / "project"),
        "results/smoke/cells/fashion_mnist/gelu-full/0-1.parquet",
    )
    images = folder / "results" / "data" / "images" / "fashion_mnist-100-100.safetensors"
    assert snakemake(folder, *SMOKE, "--", str(images.relative_to(folder))).returncode == 0
    ahead = time.time() + 86_400
    os.utime(images, (ahead, ahead))
    run = snakemake(folder, *SMOKE, "--", cell)
    assert run.returncode == 1
    assert f"error: {images.relative_to(folder)} is dated " in run.stderr
    assert "Train" not in run.stdout + run.stderr.partition("error: ")[2]
    remedy = re.search(r"find results -newermt now -exec touch {} \+", run.stderr)
    assert remedy
    subprocess.run(remedy[0], shell=True, cwd=folder, check=True)
    again = snakemake(folder, *SMOKE, "--", cell)
    assert again.returncode == 0, again.stderr


def test_a_profile_of_the_site_does_not_hide_an_edit(edited: Path, tmp_path: Path) -> None:
    """Code counts as a parameter, so a profile by which times alone matter would leave results of
    older code.
    """
    (tmp_path / "config.yaml").write_text("rerun-triggers: mtime\n")
    file = edited / PACKAGE / "training" / "loop.py"
    before = file.read_text()
    file.write_text(f"{before}# edited\n")
    try:
        run = snakemake(edited, "-n", *SMOKE, SNAKEMAKE_PROFILE=str(tmp_path))
    finally:
        file.write_text(before)
    assert re.search(r"^train +\d+$", run.stdout + run.stderr, re.MULTILINE)
