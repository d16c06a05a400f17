"""Whole runs of the workflow, as a user starts them, in a copy of the project."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pyarrow.parquet as pq

from conftest import ROOT
from lowrank_dynamics.config.figures import FORMATS, figures_of
from lowrank_dynamics.config.files import load_settings

SMOKE = ("--config", "scale=smoke")
DRAWN = figures_of(load_settings("laptop", ROOT / "configs").experiments)
"""The figures that the target `all` draws."""


def copied(folder: Path) -> Path:
    """Copy the files that git knows, or would, into a folder."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    files = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).exists(), files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a terminal in which the project's own one is activated."""
    inherited = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MAKELEVEL")
    }
    return {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}


def heeding_interrupts() -> None:
    """Heed Ctrl-C, as a `preexec_fn`: what a script starts in the background ignores it, and so do
    its own children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def snakemake(
    folder: Path, *arguments: str, cores: int = 2, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake and return how it ended and what it said."""
    command = ["snakemake", "--cores", str(cores), *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def succeeding(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where the package is found, see that it succeeds, and return what it said."""
    variables = environment()
    run = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run


def planned(folder: Path, *arguments: str) -> str:
    """Return what a dry run says."""
    run = snakemake(folder, "-n", *arguments, *SMOKE)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def assert_same_results(folder: Path, whole: Path, figures: Collection[str] = DRAWN) -> None:
    """Check that a run of the smoke scale, of some figures, has the rows and the figures' bytes of
    a whole one.
    """
    tables, others = (
        {
            path.relative_to(root): pq.read_table(path)
            for path in (root / "results" / "smoke").rglob("*.parquet")
        }
        for root in (folder, whole)
    )
    assert len(others) > 40
    assert tables
    assert tables.keys() == others.keys() or (figures != DRAWN and tables.keys() < others.keys())
    assert [str(path) for path, table in tables.items() if not table.equals(others[path])] == []
    for name in (
        f"figures/smoke/{figure}.{extension}" for figure in figures for extension in FORMATS
    ):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
