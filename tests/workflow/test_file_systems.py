"""Runs on file systems that refuse something: mapping a file into memory, or setting its mode."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lowrank_dynamics.storage import metrics
from runs import SMOKE, copied, snakemake

pytestmark = pytest.mark.slow

METRICS = Path("results", "smoke", "metrics", "vgg_heads.parquet")
"""Its jobs read and write tensors, states and tables."""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a folder with an option of bindfs and returns it."""
    if shutil.which("bindfs") is None or not Path("/dev/fuse").exists():
        pytest.skip("there is no bindfs to mount with: apt install bindfs")
    with ExitStack() as stack:

        def mount(option: str) -> Path:
            real, folder = tmp_path / "real", tmp_path / "mounted"
            real.mkdir()
            folder.mkdir()
            run = subprocess.run(
                ["bindfs", *option.split(), real, folder],
                capture_output=True,
                text=True,
                check=False,
            )
            if run.returncode:
                pytest.skip(f"nothing can be mounted here: {run.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield mount


def test_files_that_cannot_be_mapped_into_memory(
    finished: Path, tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    project, folder = copied(tmp_path / "project"), mounted("-o direct_io")
    run = snakemake(
        project,
        "--directory",
        str(folder),
        *SMOKE,
        "--",
        str(METRICS),
        "figures/smoke/figure_15.png",
    )
    assert run.returncode == 0, run.stderr
    assert metrics.read(folder / METRICS).table.equals(metrics.read(finished / METRICS).table)


def test_files_whose_modes_cannot_be_set(
    finished: Path, tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    """Snakemake keeps its notes elsewhere then, and says so before a job starts."""
    project, folder = copied(tmp_path / "project"), mounted("--chmod-deny")
    there = ("--directory", str(folder))
    run = snakemake(project, *there, *SMOKE, "--", str(METRICS))
    assert run.returncode == 1
    remedy = "--persistence-backend db"
    assert (
        "error: a file's mode cannot be set in .snakemake (Operation not permitted)" in run.stderr
    )
    assert f"snakemake {remedy}" in run.stderr
    assert "Train" not in run.stderr
    run = snakemake(project, *there, *remedy.split(), *SMOKE, "--", str(METRICS))
    assert run.returncode == 0, run.stderr
    assert metrics.read(folder / METRICS).table.equals(metrics.read(finished / METRICS).table)
