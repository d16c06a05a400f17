"""Whoever unpacks an archive can see what was changed, and results that contradict each other are none."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.report.verify import check
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.tables import Table
from small_archive import git, names, sha256sum


def test_it_passes_its_own_check(unpacked: Path) -> None:
    run = sha256sum(unpacked)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    listed = {line.split("  ", 1)[1] for line in (unpacked / "CHECKSUMS").read_text().splitlines()}
    assert listed == names(unpacked) - {"CHECKSUMS"}
    assert check(unpacked) == (
        f"{unpacked.name}: {len(listed)} files have their checksums, 5 of them say what produced them, "
        "and the metrics give the 2 verdicts again"
    )


def test_using_the_project_in_it_spoils_nothing(unpacked: Path) -> None:
    for folder in ("workflow/__pycache__", ".venv/bin", ".snakemake/log"):
        (unpacked / folder).mkdir(parents=True)
        (unpacked / folder / "left").write_text("by use")
    assert "have their checksums" in check(unpacked)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "README.md").write_text("Another.\n"), "README.md differs from its checksum; unpack"),
        (lambda folder: (folder / "results/paper/claims.md").unlink(), "results/paper/claims.md is missing; unpack"),
        (lambda folder: (folder / "configs/more.yaml").write_text(""), "configs/more.yaml is not of the archive; take"),
        (lambda folder: (folder / "CHECKSUMS").unlink(), "CHECKSUMS is missing; name the folder"),
        (lambda folder: (folder / "CHECKSUMS").write_text("nothing\n"), "CHECKSUMS is not a list of sha256 and file"),
        (lambda folder: (folder / "CHECKSUMS").write_text(""), "CHECKSUMS is not a list of sha256 and file"),
    ],
)
def test_what_was_changed_is_named(unpacked: Path, change: Callable[[Path], Any], said: str) -> None:
    change(unpacked)
    with pytest.raises(UserError) as raised:
        check(unpacked)
    assert str(raised.value).startswith(f"{unpacked}/{said}")
    assert "\n" not in str(raised.value)


def test_everything_that_was_changed_is_named(unpacked: Path) -> None:
    (unpacked / "README.md").write_text("Another.\n")
    (unpacked / "run").unlink()
    (unpacked / "more").write_text("")
    with pytest.raises(UserError) as raised:
        check(unpacked)
    assert [line.split(";")[0].removeprefix(f"{unpacked}/") for line in str(raised.value).splitlines()] == [
        "README.md differs from its checksum",
        "run is missing",
        "more is not of the archive",
    ]
    assert sha256sum(unpacked).returncode == 1


def change_a_value(root: Path) -> None:
    path = root / "results" / "paper" / "metrics" / "small.parquet"
    found = metrics.read(path)
    values = found.table["value"].to_pylist()
    column = metrics.pa.array([values[0] - 0.2, *values[1:]])
    place = found.table.schema.get_field_index("value")
    metrics.write(Metrics(found.table.set_column(place, "value", column), found.cells), path)


def change_a_verdict(root: Path) -> None:
    path = root / "results" / "paper" / "claims.parquet"
    found, page = tables.read(path, COLUMNS), path.with_suffix(".md").read_text()
    tables.write(Table(found.rows.replace("partly", "reproduced"), found.origin), page, path)


def change_a_threshold(root: Path) -> None:
    path = root / "configs" / "claims.yaml"
    path.write_text(path.read_text().replace("at_least: 0.9", "at_least: 0.5"))


def change_a_setting(root: Path) -> None:
    path = root / "configs" / "paper.yaml"
    path.write_text(path.read_text().replace("steps: 20", "steps: 40"))


def rename_the_metrics(root: Path) -> None:
    folder = root / "results" / "paper" / "metrics"
    (folder / "small.parquet").rename(folder / "large.parquet")


def forget_what_produced_a_figure(root: Path) -> None:
    figure = plt.figure(figsize=(1, 1))
    figure.savefig(root / "figures" / "paper" / "figure_3.png")
    plt.close(figure)


INCONSISTENT = [
    (change_a_value, ["claims.parquet contradicts the metrics beside it on all_of_it, block_1;"]),
    (change_a_verdict, ["claims.parquet contradicts the metrics beside it on all_of_it;"]),
    (change_a_threshold, ["claims.parquet contradicts the metrics beside it on block_1;"]),
    (
        change_a_setting,
        ["small.parquet was computed with other settings than those in"],
    ),
    (
        rename_the_metrics,
        [
            "large.parquet was computed with other settings than those in",
            "claims.parquet is about small, of which there are no metrics;",
        ],
    ),
    (forget_what_produced_a_figure, ["figure_3.png has no provenance that can be read"]),
]


def renew_the_checksums(folder: Path) -> None:
    listed = sorted(names(folder) - {"CHECKSUMS"})
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in listed]
    (folder / "CHECKSUMS").write_text("".join(lines))


@pytest.mark.parametrize(("change", "said"), INCONSISTENT)
def test_checksums_that_fit_do_not_hide_a_contradiction(
    unpacked: Path, change: Callable[[Path], None], said: list[str]
) -> None:
    change(unpacked)
    renew_the_checksums(unpacked)
    assert sha256sum(unpacked).returncode == 0
    with pytest.raises(UserError) as raised:
        check(unpacked)
    lines = str(raised.value).splitlines()
    assert all(part in line for part, line in zip(said, lines, strict=True)), lines
    assert all(line.endswith("; fetch the archive again, or tell who made it") for line in lines)


@pytest.mark.parametrize(("change", "said"), INCONSISTENT)
def test_results_that_contradict_each_other_are_not_archived(
    project: Path, tmp_path: Path, change: Callable[[Path], None], said: list[str]
) -> None:
    change(project)
    git(project, "commit", "--all", "--quiet", "--allow-empty", "--message", "changed")
    with pytest.raises(UserError) as raised:
        write_archive(project, "paper", tmp_path / "archive")
    lines = str(raised.value).splitlines()
    assert all(part in line for part, line in zip(said, lines, strict=True)), lines
    assert all(line.endswith("; delete it, run `make SCALE=paper`, and then this again") for line in lines)
    assert not (tmp_path / "archive").exists()


def test_rounding_on_another_machine_is_no_contradiction(project: Path) -> None:
    path = project / "results" / "paper" / "claims.parquet"
    found = tables.read(path, COLUMNS)
    tables.write(Table(found.rows.assign(mean=found.rows["mean"] * (1 + 1e-12)), found.origin), "page", path)
    write_archive(project, "paper", project / "archive")
