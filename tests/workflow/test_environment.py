"""The environment: which Python `make` takes, and the library alone, from a wheel, for code outside
the project.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from lowrank_dynamics.storage import metrics
from runs import environment, ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which `make` would have to build the environment."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make as a terminal does, also where a make runs the tests."""
    return ran(folder, "make", *arguments, env=environment(**variables))


def test_an_old_python_is_refused_in_a_sentence(folder: Path) -> None:
    pretend = (
        f'exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); exec(sys.argv[1])"'
        ' "$2"'
    )
    old = program(folder / "python3.10", pretend)
    refused = make(folder, f"PYTHON={old}")
    assert refused.returncode == 2
    assert (
        f"{old} is older than Python 3.11; name another one, such as: make PYTHON=python3.12"
        in refused.stderr
    )
    assert not (folder / ".venv").exists()


def test_an_environment_of_another_python_is_built_afresh(folder: Path) -> None:
    program(folder / ".venv" / "bin" / "python", "echo Python 3.11.0")
    (folder / ".venv" / ".complete").touch()
    other = program(folder / "python3.12", "echo Python 3.12.0")
    assert "venv --clear .venv" in make(folder, "-n", f"PYTHON={other}").stdout
    assert "venv" not in make(folder, "-n").stdout


def test_what_the_terminal_exports_for_others_does_not_count(folder: Path) -> None:
    """A PYTHON of another project, and pip's `user = true`, which no virtual environment allows."""
    plan = make(folder, "-n", PYTHON="/opt/python2/bin/python").stdout
    assert "/opt/python2" not in plan
    assert "python3 -m venv" in plan
    shown = make(folder, "--eval", "show: ; @echo user=$$PIP_USER", "show", PIP_USER="1")
    assert shown.stdout == "user=no\n"


def test_a_report_is_shown_or_named_where_there_is_no_browser(folder: Path) -> None:
    missing = make(folder, "open", BROWSER="false", PATH=os.defpath)
    assert "results/laptop/report.html is not there; run: make SCALE=laptop" in missing.stderr
    (folder / "results" / "laptop").mkdir(parents=True)
    (folder / "results" / "laptop" / "report.html").touch()
    shown = make(folder, "open", BROWSER="false", PATH=os.defpath)
    assert shown.returncode == 0, shown.stderr
    assert "report.html is one file; open it on any machine that has a browser" in shown.stdout


def test_a_checkout_has_the_line_ends_that_scripts_need(tmp_path: Path) -> None:
    """Also where git is told to change them, as on Windows."""
    copy = [
        "git",
        "-c",
        "core.autocrlf=true",
        "clone",
        "--quiet",
        "--no-hardlinks",
        str(ROOT),
        str(tmp_path / "clone"),
    ]
    subprocess.run(copy, check=True)
    for name in (".ci/run", "Makefile", "Snakefile", "configs/paper.yaml"):
        assert b"\r" not in (tmp_path / "clone" / name).read_bytes(), name


@pytest.mark.slow
def test_the_example_of_the_documents_runs_with_the_wheel_alone(tmp_path: Path) -> None:
    """In an empty environment, without the extras of the workflow, in a folder outside the
    project.
    """
    text = (ROOT / "docs" / "library.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    sources = shutil.copytree(
        ROOT, tmp_path / "sources", ignore=shutil.ignore_patterns(".*", "results", "build")
    )
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, sources], check=True)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    python = tmp_path / "environment" / "bin" / "python"
    (wheel,) = tmp_path.glob("*.whl")
    installed = ["install", "--no-compile", "--constraint", ROOT / "requirements.txt", wheel]
    own = environment(OMP_NUM_THREADS="1")
    subprocess.run([*pip, "--python", python, *installed], check=True, env=own)
    command = [python, "-W", "error", "-c", example[1]]
    run = subprocess.run(
        command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    full, small = map(float, re.findall(r"(0\.\d+)", run.stdout.splitlines()[0]))
    said = (
        "The full network reaches a test accuracy of 80 %, the low-rank one 77 % with 6 % of the"
        " weights"
    )
    assert said in " ".join(text.split())
    assert full == pytest.approx(0.8, abs=0.02)
    assert small == pytest.approx(0.77, abs=0.02)
    assert metrics.read(tmp_path / "watched.parquet").values("layer") == {1}
    program = subprocess.run(
        [python, "-m", "lowrank_dynamics"], capture_output=True, text=True, check=False
    )
    assert (
        program.stderr
        == "error: the command line needs typer; pip install 'lowrank-dynamics[workflow]' brings"
        " it\n"
    )
