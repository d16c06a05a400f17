"""The notebook of the library runs from top to bottom, and what is stored of its outputs is
small.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from runs import environment

NOTEBOOK = ROOT / "docs" / "library.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.mark.slow
def test_it_runs_and_prints_what_is_stored(tmp_path: Path) -> None:
    """Except for the accuracies, which rounding on another machine may change."""
    code = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code")
    own = environment(
        MPLBACKEND="agg",
        PYTHONPATH=str(ROOT / "workflow"),
        TMPDIR=str(tmp_path),
        OMP_NUM_THREADS="1",
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    stored = "".join(
        line
        for cell in CELLS
        for output in cell.get("outputs", [])
        for line in output.get("text", [])
    ).splitlines()
    said = run.stdout.splitlines()
    assert [line for line in said if "%" not in line] == [
        line for line in stored if "%" not in line
    ]
    assert len(said) == len(stored)


def test_every_cell_was_run_once_in_order_and_little_is_stored() -> None:
    counts = [cell["execution_count"] for cell in CELLS if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert NOTEBOOK.stat().st_size < 60_000
