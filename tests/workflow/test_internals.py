"""What the Snakefile needs of Snakemake beyond its documented interface is still there."""

from pathlib import Path

import pytest

from runs import snakemake

SNAKEFILE = """
import sys
sys.path.insert(0, {path!r})
from lowrank_dynamics import snakemake_internals as internals

assert internals.plans_the_run(workflow) == ("--mode" not in sys.argv), sys.argv
assert internals.is_dry_run(workflow) == {dry}
assert internals.counts_jobs(workflow) == {jobs}
assert not internals.has_conda(workflow)
assert internals.limit_of(workflow, "runtime") == {runtime}
internals.limit(workflow, "gpu", 1)
assert internals.limit_of(workflow, "gpu") == {gpus}


rule all:
    input:
        expand("{{name}}.txt", name=["a", "b", "c", "d"]),


rule one:
    output:
        "{{name}}.txt",
    resources:
        gpu=1,
    shell:
        "test ! -e running; touch running; sleep 0.2; rm running; touch {{output}}"


onstart:
    assert internals.runs_here(workflow)
    assert internals.keeps_notes_in_files(workflow) == {files}
    assert hasattr(workflow.scheduler, "job_rate_limiter")
    internals.start_jobs_at_once(workflow)
"""


@pytest.mark.parametrize(
    ("options", "runtime", "gpus", "files"),
    [
        ([], None, 1, True),
        (["--resources", "runtime=60"], 60, 1, True),
        (["--persistence-backend", "db", "--resources", "gpu=1"], None, 1, False),
    ],
)
def test_each_does_what_it_says(
    tmp_path: Path, options: list[str], runtime: int | None, gpus: int, files: bool
) -> None:
    """One job at a time has the one GPU, so that none finds another one running."""
    write_snakefile(tmp_path, runtime=runtime, gpus=gpus, files=files, dry=False, jobs=False)
    run = snakemake(tmp_path, *options, cores=4)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(list(tmp_path.glob("*.txt"))) == 4


@pytest.mark.parametrize("cluster", [False, True])
def test_a_dry_run_and_a_cluster_are_known_when_the_snakefile_is_read(
    tmp_path: Path, cluster: bool
) -> None:
    write_snakefile(tmp_path, runtime=None, gpus=1, files=True, dry=True, jobs=cluster)
    options = ["--executor", "slurm", "--jobs", "3"] if cluster else []
    run = snakemake(tmp_path, "--dry-run", *options)
    assert run.returncode == 0, run.stdout + run.stderr
    assert list(tmp_path.glob("*.txt")) == []


def write_snakefile(folder: Path, **expected: object) -> None:
    path = str(Path(__file__).parents[2] / "workflow")
    content = SNAKEFILE.format(path=path, **expected)
    (folder / "Snakefile").write_text(content, encoding="utf-8")
