"""What a run says at its end is true of the files that are there."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import run_named
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.report.outcome import duration, missing, note_missing, outcome
from lowrank_dynamics.storage import tables

SUMMARY = "35 claims: 19 reproduced."
CLAIMS = "  claims      results/laptop/claims.md: "
STALE = "older than some of what it shows; a run without a target makes it anew"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run of which all is there: metrics, then verdicts, a figure, the report."""
    run = run_named("laptop", tmp_path)
    put(run.metrics("case_study"), 30)
    put(run.page("claims"), 20)
    judge(run, summary=SUMMARY)
    put(run.figure("figure_1", "pdf"), 15)
    put(run.report, 10)
    return run


def put(file: Path, age: int) -> None:
    """Make a file of this age in seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.utime(file, (1_000_000 - age, 1_000_000 - age))


def judge(run: Run, **origin: Any) -> None:
    """Write a table of verdicts with this origin, at the time of its page."""
    verdicts = tables.Table(pd.DataFrame({"claim": ["a"]}), origin)
    tables.write_without_page(verdicts, run.table("claims"))
    put(run.table("claims"), 20)


def test_a_whole_run(run: Run) -> None:
    files = [
        "  figures     1 in figures/laptop/",
        "  report      results/laptop/report.html",
        "  claims      results/laptop/claims.md: 35 claims: 19 reproduced.",
    ]
    assert list(outcome(run, 581.2)) == ["The run at laptop scale took 9 min 41 s", *files]
    assert list(outcome(run)) == ["The run at laptop scale", *files]
    assert list(outcome(run_named("paper", run.root), 3)) == []
    assert duration(59.4) == "59 s"


@pytest.mark.parametrize(
    "younger", ["figures/laptop/figure_2.pdf", "results/laptop/beyond/claims.parquet"]
)
def test_a_report_older_than_what_it_shows_is_not_praised(run: Run, younger: str) -> None:
    put(run.root / younger, 5)
    _, _, report, claims, *_ = outcome(run)
    assert report == f"  report      results/laptop/report.html: {STALE}"
    assert "19 reproduced" in claims


def test_verdicts_older_than_the_metrics_are_not_praised(run: Run) -> None:
    put(run.metrics("first_gradient"), 5)
    assert list(outcome(run))[-1] == f"{CLAIMS}{STALE}"


def test_the_headline_is_that_of_the_table(run: Run) -> None:
    judge(run, summary=SUMMARY, unverified=["CIFAR-10"])
    assert list(outcome(run))[-1] == f"{CLAIMS}{SUMMARY} Unverified data: CIFAR-10."
    table = run.table("claims")
    table.write_bytes(b"broken")
    os.utime(table, (0, 0))
    said = list(outcome(run))[-1]
    assert said.startswith(f"{CLAIMS}{table} has no provenance that can be read")


def test_what_is_missing_is_told_with_the_reason_until_it_is_there(run: Run) -> None:
    note_missing(run, {"no source has the weights": ["figure_7", "figure_15"]})
    line = "  missing     figure_7, figure_15, because no source has the weights"
    assert list(missing(run)) == [line]
    assert list(outcome(run))[-1] == line
    note_missing(run, None)
    assert list(missing(run)) == [line], "a run that needed none of them knows nothing about it"
    note_missing(run, {})
    assert list(missing(run)) == []
