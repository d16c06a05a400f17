"""The same run on a Slurm cluster: the same numbers as on one machine, also where the scheduler
kills a job.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

import simulated_device
import slurm_cluster
from conftest import ROOT, run_named
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.storage import metrics as stored
from runs import SMOKE, assert_same_tables, copied, environment, snakemake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm_cluster.why_not()), reason=slurm_cluster.why_not()),
]

PROFILE = (
    "snakemake",
    "--profile",
    "profiles/slurm",
    "--slurm-no-account",
    "--slurm-status-command",
    "squeue",
)
QUICKLY = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
"""A test does not wait as long as one should on a cluster that others use too."""
ON_THE_CLUSTER = ("figure_5", "figure_7")
"""Figures whose jobs read features, share submissions, and run one trial each or several."""
RUN = (*PROFILE, *QUICKLY, "--latency-wait", "10")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_cluster.Cluster]:
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm"), environment()) as cluster:
        yield cluster


def with_simulated_gpus(folder: Path) -> Path:
    """Let the jobs of a copy of the project find the simulated device where they look for a GPU."""
    package = folder / "workflow"
    shutil.copy(ROOT / "tests" / "simulated_device.py", package)
    with (package / "lowrank_dynamics" / "training" / "device.py").open("a") as module:
        module.write("from simulated_device import claimed_device\n")
    return folder


@pytest.mark.skipif(bool(simulated_device.WHY_NOT), reason=simulated_device.WHY_NOT)
def test_a_run_on_slurm_whose_jobs_have_gpus_gives_the_same_numbers(
    cluster: slurm_cluster.Cluster, finished: Path, tmp_path: Path
) -> None:
    """And the same pictures, whose files differ in the machine that they name."""
    folder = with_simulated_gpus(copied(tmp_path / "project"))
    drawn = [f"figures/smoke/{figure}.png" for figure in ON_THE_CLUSTER]
    run = cluster.start(*RUN, *SMOKE, "--", *drawn, cwd=folder, log=tmp_path / "said.txt")
    assert run.wait(timeout=600) == 0, (tmp_path / "said.txt").read_text()
    assert_same_tables(folder, finished)
    for picture in drawn:
        first, second = (Image.open(root / picture).tobytes() for root in (folder, finished))
        assert first == second, picture
    said = (tmp_path / "said.txt").read_text()
    submitted = len(re.findall("has been submitted with SLURM jobid", said))
    assert 3 <= submitted <= 5  # the two parts of the features together, and 15 jobs by eight
    for figure in ON_THE_CLUSTER:
        for experiment in FIGURES[figure].experiments:
            cells = stored.read(run_named("smoke", folder).metrics(experiment)).cells
            for origin in cells.values():
                assert "simulated (in host memory)" in origin.machine
    kept_of_failed_jobs = list((folder / ".snakemake" / "slurm_logs").rglob("*.log"))
    assert kept_of_failed_jobs == []


def test_one_trial_a_job_gives_the_rows_of_the_local_run(
    cluster: slurm_cluster.Cluster, finished: Path, tmp_path: Path
) -> None:
    folder = copied(tmp_path / "project")
    metrics = "results/smoke/metrics/theory_over_eps.parquet"
    run = cluster.start(
        *RUN, *SMOKE, "trials_per_job=1", "--", metrics, cwd=folder, log=tmp_path / "said.txt"
    )
    assert run.wait(timeout=600) == 0, (tmp_path / "said.txt").read_text()
    shards = {path.name for path in folder.glob("results/smoke/cells/theory_over_eps/*/*.parquet")}
    assert shards == {"0-0.parquet", "1-1.parquet"}
    log, *_ = folder.glob("results/smoke/logs/train/theory_over_eps/*/0-0.log")
    assert "Slurm gave this job a GPU, but torch" in log.read_text()
    assert pq.read_table(folder / metrics).equals(pq.read_table(finished / metrics))


def test_a_trial_that_the_scheduler_ends_goes_on_in_its_next_attempt(
    cluster: slurm_cluster.Cluster, tmp_path: Path
) -> None:
    """Its rows are those of the local run of all trials. A GPU may be asked for in the other way,
    with --gres.
    """
    folder = copied(tmp_path / "project")
    smoke = folder / "configs" / "smoke.yaml"
    smoke.write_text(
        smoke.read_text()
        .replace("activations: [elu]", "activations: [gelu]")
        .replace("steps: 20\n", "steps: 3000\n")
    )
    profile = folder / "profiles" / "slurm" / "config.yaml"
    by_gres = re.sub(
        r"^# (set-resources:|  (?:train|features): \{gpu)",
        r"\1",
        profile.read_text(),
        flags=re.MULTILINE,
    )
    profile.write_text(by_gres)
    cell = folder / "results" / "smoke" / "cells" / "deep_unwhitened" / "gelu-full-adam"
    alone, all_trials = (
        str((cell / name).relative_to(folder)) for name in ("1-1.parquet", "0-1.parquet")
    )
    run = cluster.start(
        *RUN, *SMOKE, "trials_per_job=1", "--", alone, cwd=folder, log=tmp_path / "said.txt"
    )
    log = (
        folder
        / "results"
        / "smoke"
        / "logs"
        / "train"
        / "deep_unwhitened"
        / "gelu-full-adam"
        / "1-1.log"
    )
    slurm_cluster.wait_for(lambda: log.exists() and "step 600 of" in log.read_text())
    assert "gpu:1" in cluster.ask("squeue", "--noheader", "--format=%b")
    cluster.ask("scancel", "--user=root")
    slurm_cluster.wait_for(lambda: "stopped at step" in log.read_text())
    assert run.wait(timeout=600) == 0, (tmp_path / "said.txt").read_text()
    assert "resuming at step" in log.read_text()
    whole = snakemake(folder, *SMOKE, "--", all_trials)
    assert whole.returncode == 0, whole.stderr
    second = pq.read_table(folder / all_trials).filter(pc.field("trial") == 1)
    assert pq.read_table(folder / alone).equals(second)
