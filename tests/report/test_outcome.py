"""What a run says at its end is true of the files that are there."""

import os
from pathlib import Path

from lowrank_dynamics.report.outcome import outcome

CLAIMS = "# Claims at laptop scale\n\n35 claims: 19 reproduced.\n\n| figure |\n"


def put(root: Path, name: str, age: int, content: str = "") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    os.utime(file, (1_000_000 - age, 1_000_000 - age))


def test_a_whole_run(tmp_path: Path) -> None:
    put(tmp_path, "results/laptop/metrics/case_study.parquet", 30)
    put(tmp_path, "results/laptop/claims.md", 20, CLAIMS)
    put(tmp_path, "figures/laptop/figure_1.pdf", 15)
    put(tmp_path, "results/laptop/report.html", 10)
    assert list(outcome("laptop", tmp_path)) == [
        "The figures at laptop scale are in figures/laptop/",
        "results/laptop/report.html: the figures with verdicts and settings",
        "results/laptop/claims.md: 35 claims: 19 reproduced.",
    ]
    assert list(outcome("paper", tmp_path)) == []


def test_what_is_older_than_what_it_shows_is_not_praised(tmp_path: Path) -> None:
    test_a_whole_run(tmp_path)
    put(tmp_path, "figures/laptop/figure_2.pdf", 5)
    _, report, claims = outcome("laptop", tmp_path)
    assert (
        report == "results/laptop/report.html: older than some of what it shows; a run without a target makes it anew"
    )
    assert "19 reproduced" in claims
    put(tmp_path, "results/laptop/metrics/first_gradient.parquet", 5)
    assert "claims.md: older than some of what it shows" in list(outcome("laptop", tmp_path))[2]
