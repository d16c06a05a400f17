"""Whole runs of the workflow, as a user starts them, in a copy of the project."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from conftest import ROOT, run_named, settings_of
from lowrank_dynamics.config.figures import ANIMATED, ANIMATION, FORMATS, figures_of

SMOKE = ("--config", "scale=smoke")
LOWRANK = ("python", "-m", "lowrank_dynamics")
DRAWN = figures_of(settings_of("laptop").experiments)
"""The figures that the target `all` draws."""


def ran(folder: Path, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, and return how it ended and what it said."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"env": environment()} | pipes | options
    return subprocess.run(command, cwd=folder, text=True, check=False, **options)


def succeeding(folder: Path, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, see that it succeeds, and return what it said."""
    run = ran(folder, *command, **options)
    assert run.returncode == 0, run.stderr
    return run


def snakemake(
    folder: Path, *arguments: str, cores: int = 2, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake and return how it ended and what it said."""
    command = ("snakemake", "--cores", str(cores), *arguments)
    return ran(folder, *command, env=environment(**variables))


def planned(folder: Path, *arguments: str) -> str:
    """Return what a dry run says."""
    run = snakemake(folder, "-n", *arguments, *SMOKE)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a terminal in which the project's own one is activated."""
    inherited = dict(os.environ)
    for name in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        inherited.pop(name, None)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return inherited | {"PATH": path} | variables


def copied(folder: Path) -> Path:
    """Copy the files that git knows, or would, into a folder."""
    listed = succeeding(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout
    for name in listed.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Let the first process of tests that needs a folder make what is in it; others wait."""
    made = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
            made.touch()
    return folder


def heeding_interrupts() -> None:
    """Heed Ctrl-C, as a `preexec_fn`: what a script starts in the background ignores it, and so do
    its own children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def tables(folder: Path) -> dict[Path, pa.Table]:
    """Return the tables of a run of the smoke scale, by their files in it."""
    results = run_named("smoke", folder).results
    return {file.relative_to(results): pq.read_table(file) for file in results.rglob("*.parquet")}


def assert_same_tables(folder: Path, whole: Path) -> None:
    """Check that each table of a run of the smoke scale has the rows that it has in a whole one."""
    of_run, of_whole = tables(folder), tables(whole)
    assert len(of_whole) > 40
    assert of_run
    assert of_run.keys() <= of_whole.keys()
    for file, table in of_run.items():
        assert table.equals(of_whole[file]), file


def assert_same_results(folder: Path, whole: Path, figures: Collection[str] = DRAWN) -> None:
    """Check that a run of the smoke scale, of some figures, has the rows and the figures' bytes of
    a whole one.
    """
    assert_same_tables(folder, whole)
    assert len(tables(folder)) == len(tables(whole)) or figures != DRAWN
    animated = [(figure, ANIMATION) for figure in figures if figure in ANIMATED]
    for figure, extension in (*product(figures, FORMATS), *animated):
        drawn = run_named("smoke", folder).figure(figure, extension).read_bytes()
        assert drawn == run_named("smoke", whole).figure(figure, extension).read_bytes(), figure
