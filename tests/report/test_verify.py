"""Whoever unpacks an archive can see what was changed, and results that contradict each other are none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.report.verify import check, checksums
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.tables import Table
from small_archive import git, names, sha256sum


def refusal(function: Callable[..., object], *arguments: object) -> list[str]:
    """Return the lines of the error that a function ends with."""
    with pytest.raises(UserError) as raised:
        function(*arguments)
    return str(raised.value).splitlines()


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
        (lambda folder: (folder / "CHECKSUMS").unlink(), "CHECKSUMS is missing; name the folder"),
        (lambda folder: (folder / "CHECKSUMS").write_text("nothing\n"), "CHECKSUMS is not a list of sha256 and file"),
        (lambda folder: (folder / "CHECKSUMS").write_text(""), "CHECKSUMS is not a list of sha256 and file"),
    ],
)
def test_a_list_of_checksums_that_is_none_is_named(unpacked: Path, change: Callable[[Path], Any], said: str) -> None:
    change(unpacked)
    (line,) = refusal(check, unpacked)
    assert line.startswith(f"{unpacked}/{said}")


def test_everything_that_was_changed_is_named(unpacked: Path) -> None:
    (unpacked / "README.md").write_text("Another.\n")
    (unpacked / "results/paper/claims.md").unlink()
    (unpacked / "configs/more.yaml").write_text("")
    assert refusal(check, unpacked) == [
        f"{unpacked}/README.md differs from its checksum; unpack the archive again, or fetch it again",
        f"{unpacked}/results/paper/claims.md is missing; unpack the archive again, or fetch it again",
        f"{unpacked}/configs/more.yaml is not of the archive; take it out of the folder",
    ]
    assert sha256sum(unpacked).returncode == 1


def change_a_value(root: Path) -> None:
    path = root / "results" / "paper" / "metrics" / "small.parquet"
    found = metrics.read(path)
    rows = found.table.to_pandas()
    rows.loc[0, "value"] -= 0.2
    metrics.write(Metrics(metrics.pa.Table.from_pandas(rows, metrics.SCHEMA), found.cells), path)


def change_a_verdict(root: Path) -> None:
    path = root / "results" / "paper" / "claims.parquet"
    found, page = tables.read(path, COLUMNS), path.with_suffix(".md").read_text()
    tables.write(Table(found.rows.replace("partly", "reproduced"), found.origin), page, path)


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


def rename_the_metrics(root: Path) -> None:
    folder = root / "results" / "paper" / "metrics"
    (folder / "small.parquet").rename(folder / "large.parquet")


def forget_what_produced_a_figure(root: Path) -> None:
    Image.new("L", (1, 1)).save(root / "figures" / "paper" / "figure_3.png")


OTHER_SETTINGS = "was computed with other settings than those in"
INCONSISTENT = [
    (change_a_value, ["claims.parquet contradicts the metrics beside it on all_of_it, block_1;"]),
    (change_a_verdict, ["claims.parquet contradicts the metrics beside it on all_of_it;"]),
    (
        replace("configs/claims.yaml", "at_least: 0.9", "at_least: 0.5"),
        ["claims.parquet contradicts the metrics beside it on block_1;"],
    ),
    (replace("configs/paper.yaml", "steps: 20", "steps: 40"), [f"small.parquet {OTHER_SETTINGS}"]),
    (
        rename_the_metrics,
        [
            "large.parquet is of another experiment or scale than its place says",
            "claims.parquet is about small, of which there are no metrics;",
        ],
    ),
    (forget_what_produced_a_figure, ["figure_3.png has no provenance that can be read"]),
]


@pytest.mark.parametrize(("change", "said"), INCONSISTENT)
def test_checksums_that_fit_do_not_hide_a_contradiction(
    unpacked: Path, change: Callable[[Path], None], said: list[str]
) -> None:
    change(unpacked)
    listed = {name: (unpacked / name).read_bytes() for name in names(unpacked) - {"CHECKSUMS"}}
    (unpacked / "CHECKSUMS").write_text(checksums(listed))
    assert sha256sum(unpacked).returncode == 0
    lines = refusal(check, unpacked)
    assert all(part in line for part, line in zip(said, lines, strict=True)), lines
    assert all(line.endswith("; fetch the archive again, or tell who made it") for line in lines)


@pytest.mark.parametrize(("change", "said"), INCONSISTENT)
def test_results_that_contradict_each_other_are_not_archived(
    project: Path, tmp_path: Path, change: Callable[[Path], None], said: list[str]
) -> None:
    change(project)
    git(project, "commit", "--all", "--quiet", "--allow-empty", "--message", "changed")
    lines = refusal(write_archive, project, "paper", tmp_path / "archive")
    assert all(part in line for part, line in zip(said, lines, strict=True)), lines
    assert all(line.endswith("; delete it, run `make SCALE=paper`, and then this again") for line in lines)
    assert not (tmp_path / "archive").exists()


def test_rounding_on_another_machine_is_no_contradiction(project: Path) -> None:
    path = project / "results" / "paper" / "claims.parquet"
    found = tables.read(path, COLUMNS)
    tables.write(Table(found.rows.assign(mean=found.rows["mean"] * (1 + 1e-12)), found.origin), "page", path)
    write_archive(project, "paper", project / "archive")
