"""What a run says at its end is true of the files that are there."""

import os
from pathlib import Path

from lowrank_dynamics.report.outcome import duration, missing, note_missing, outcome

CLAIMS = "# Claims at laptop scale\n\n35 claims: 19 reproduced.\n\n| figure |\n"


def put(root: Path, name: str, age: int, content: str = "") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    os.utime(file, (1_000_000 - age, 1_000_000 - age))


def whole_run(root: Path) -> None:
    put(root, "results/laptop/metrics/case_study.parquet", 30)
    put(root, "results/laptop/claims.md", 20, CLAIMS)
    put(root, "figures/laptop/figure_1.pdf", 15)
    put(root, "results/laptop/report.html", 10)


def test_a_whole_run(tmp_path: Path) -> None:
    whole_run(tmp_path)
    block = [
        "The run at laptop scale took 9 min 41 s",
        "  figures     1 in figures/laptop/",
        "  report      results/laptop/report.html",
        "  claims      results/laptop/claims.md: 35 claims: 19 reproduced.",
    ]
    assert list(outcome("laptop", 581.2, tmp_path)) == block
    assert list(outcome("laptop", root=tmp_path)) == ["The run at laptop scale", *block[1:]]
    assert list(outcome("paper", 3, tmp_path)) == []
    assert duration(59.4) == "59 s"


def test_what_is_older_than_what_it_shows_is_not_praised(tmp_path: Path) -> None:
    whole_run(tmp_path)
    put(tmp_path, "figures/laptop/figure_2.pdf", 5)
    *_, report, claims = outcome("laptop", root=tmp_path)
    stale = "older than some of what it shows; a run without a target makes it anew"
    assert report == f"  report      results/laptop/report.html: {stale}"
    assert "19 reproduced" in claims
    whole_run(other := tmp_path / "other")
    put(other, "results/laptop/beyond/claims.parquet", 5)
    assert stale in next(line for line in outcome("laptop", root=other) if "report" in line)
    put(tmp_path, "results/laptop/metrics/first_gradient.parquet", 5)
    assert (
        list(outcome("laptop", root=tmp_path))[-1]
        == f"  claims      results/laptop/claims.md: {stale}"
    )


def test_what_is_missing_is_told_with_the_reason_until_it_is_there(tmp_path: Path) -> None:
    whole_run(tmp_path)
    note_missing("laptop", {"no source has the weights": ["figure_7", "figure_15"]}, tmp_path)
    line = "  missing     figure_7, figure_15, because no source has the weights"
    assert list(missing("laptop", tmp_path)) == [line]
    assert list(outcome("laptop", root=tmp_path))[-1] == line
    note_missing("laptop", {}, tmp_path)
    assert list(missing("laptop", tmp_path)) == []
