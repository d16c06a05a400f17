"""The same run on a Slurm cluster: the same numbers as on one machine, also where the scheduler kills a job."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import slurm_cluster
from runs import SMOKE, assert_same_results, copied, environment, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(slurm_cluster.why_not()), reason=slurm_cluster.why_not())]

PROFILE = ("snakemake", "--profile", "profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue")
QUICKLY = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
"""A test does not wait as long as one should on a cluster that others use too."""
RUN = (*PROFILE, *QUICKLY, "--latency-wait", "10")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_cluster.Cluster]:
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm"), environment()) as cluster:
        yield cluster


def test_a_run_on_slurm_gives_the_same_bytes(cluster: slurm_cluster.Cluster, finished: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path / "project")
    run = cluster.start(*RUN, *SMOKE, cwd=folder, log=tmp_path / "said.txt")
    assert run.wait(timeout=600) == 0, (tmp_path / "said.txt").read_text()
    assert_same_results(folder, finished)
    said = (tmp_path / "said.txt").read_text()
    submitted = len(re.findall("has been submitted with SLURM jobid", said))
    assert 5 <= submitted <= 10  # the features, and 43 jobs by eight
    log = folder / "results" / "smoke" / "logs" / "train" / "case_study" / "elu-full" / "0-1.log"
    assert "Slurm gave this job a GPU" in log.read_text()
    assert list((folder / ".snakemake" / "slurm_logs").rglob("*.log")) == []  # kept of jobs that failed


def test_a_job_that_the_scheduler_ends_goes_on_in_its_next_attempt(
    cluster: slurm_cluster.Cluster, tmp_path: Path
) -> None:
    """And a GPU may be asked for in the other way, with --gres."""
    folder = copied(tmp_path / "project")
    smoke = folder / "configs" / "smoke.yaml"
    smoke.write_text(
        smoke.read_text().replace("activations: [elu]", "activations: [gelu]").replace("steps: 20\n", "steps: 3000\n")
    )
    profile = folder / "workflow" / "profiles" / "slurm" / "config.yaml"
    by_gres = re.sub(r"^# (set-resources:|  (?:train|features): \{gpu)", r"\1", profile.read_text(), flags=re.MULTILINE)
    profile.write_text(by_gres)
    cell = "results/smoke/cells/deep_unwhitened/gelu-full-adam/0-1.parquet"
    target = (*SMOKE, "--", cell)
    run = cluster.start(*RUN, *target, cwd=folder, log=tmp_path / "said.txt")
    log = folder / "results" / "smoke" / "logs" / "train" / "deep_unwhitened" / "gelu-full-adam" / "0-1.log"
    slurm_cluster.wait_for(lambda: log.exists() and "step 600 of" in log.read_text())
    assert "gpu:1" in cluster.ask("squeue", "--noheader", "--format=%b")
    cluster.ask("scancel", "--user=root")
    slurm_cluster.wait_for(lambda: "stopped at step" in log.read_text())
    assert run.wait(timeout=600) == 0, (tmp_path / "said.txt").read_text()
    assert "resuming at step" in log.read_text()
    shutil.copy(folder / cell, tmp_path / "interrupted.parquet")
    shutil.rmtree(folder / "results")
    whole = snakemake(folder, *target)
    assert whole.returncode == 0, whole.stderr
    assert pq.read_table(tmp_path / "interrupted.parquet").equals(pq.read_table(folder / cell))
