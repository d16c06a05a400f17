"""The archive: everything is in it, its bytes do not vary, and whoever unpacks it can see what was changed."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from conftest import ROOT, SMALL, planted, row
from lowrank_dynamics import __version__, metrics, provenance
from lowrank_dynamics.archive import write_archive
from lowrank_dynamics.archive_check import check
from lowrank_dynamics.claims import files
from lowrank_dynamics.claims.table import COLUMNS
from lowrank_dynamics.cli import app
from lowrank_dynamics.config import Cell, load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FORMATS, style
from lowrank_dynamics.metrics import Metrics
from runs import environment

CLAIM: dict[str, Any] = {
    "figures": ["figure_3"],
    "place": "figure 3",
    "statement": "Almost all of the change lies in block 1.",
    "quantity": "share of block 1",
    "experiment": "small",
    "measure": "value_at_end",
    "options": {"quantity": "block_share", "index": 1},
    "cells": {"activation": ["elu"], "layer": [1]},
    "at_least": 0.9,
    "because": "of the words",
}
CLAIMS = {"block_1": CLAIM, "all_of_it": {**CLAIM, "at_least": 1.0, "partly": 0.5}}


def git(folder: Path, *arguments: str) -> str:
    """Run git with no settings but the project's own, and one time for all commits; return what it says."""
    name = {f"GIT_{who}_{what}": "nobody@example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    time = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    own = os.environ | name | time | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    run = subprocess.run(["git", *arguments], cwd=folder, env=own, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the sources")
    return git(folder, "rev-parse", "HEAD")


def plant_sources(root: Path) -> str:
    """Make a small project of one experiment and two claims, and return its commit."""
    contents = {
        ".gitignore": "/results/\n/figures/\n/archive/\n",
        "README.md": "A small project.\n",
        "configs/paper.yaml": yaml.safe_dump({"seed": 1, "device": "cpu", "experiments": {"small": SMALL}}),
        "configs/claims.yaml": yaml.safe_dump({"scales_that_cannot_tell": {}, "claims": CLAIMS}),
        "run": "#!/bin/sh\n",
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("configs")
    return commit(root)


def small_metrics(root: Path, code: str) -> Metrics:
    """Return metrics of the project's experiment in which all of the change is near block 1."""
    settings = load_settings("paper", root / "configs")
    shares = row(20, "block_share", [[0.98, 0.02], [0.97, 0.03], [0.99, 0.01]])
    found = planted({Cell("elu", "full"): [shares]}, settings.of_variant("small", "base"))
    (name,) = found.provenance["cells"]
    origin = {**found.provenance["cells"][name], "settings_sha256": settings.digest("small"), "code": code}
    return Metrics(found.table, {"cells": {name: origin}})


def plant_results(root: Path, code: str) -> None:
    """Put into the project what a run leaves, all of it made by `code`; the claims are judged by the command itself."""
    results, figures = root / "results" / "paper", root / "figures" / "paper"
    measured = small_metrics(root, code)
    metrics.write(measured, results / "metrics" / "small.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "code_version", lambda: code)
        where = [str(results / "metrics" / "small.parquet"), "--output", str(results / "claims.parquet")]
        judged = ["claims", *where, "--scale", "paper", "--configs", str(root / "configs")]
        assert CliRunner().invoke(app, judged).exit_code == 0
        figure = plt.figure(figsize=(1, 1))
        style.save(figure, figures / "figure_3", provenance.of_figure("figure_3", [measured.provenance]))
        plt.close(figure)
    (results / "pages").mkdir()
    for name in ("report.html", "pages/claims.html", "pages/figure_3.html"):
        (results / name).write_text("<p>shown</p>\n")
    (results / "logs").mkdir()
    (results / "logs" / "claims.log").write_text("not for the archive\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small project, committed, with the results of its run; tests leave it as it is."""
    root = tmp_path_factory.mktemp("small") / "project"
    root.mkdir()
    plant_results(root, f"{__version__} at {plant_sources(root)}")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the small project to change."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an archive as a reader does, and return the one folder that is in it."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", str(path), "-C", str(folder)], check=True)
    (inside,) = folder.iterdir()
    return inside


@pytest.fixture
def unpacked(made: Path, tmp_path: Path) -> Path:
    """Return the folder of an unpacked archive of the small project."""
    return unpack(write_archive(made, "paper", tmp_path / "archive").path, tmp_path / "elsewhere")


def guide_of(folder: Path) -> str:
    """Return the text that says what is in an unpacked archive, as one line."""
    return " ".join((folder / "ARCHIVE.txt").read_text().split())


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_sources_and_results_are_in_it(made: Path, unpacked: Path) -> None:
    assert unpacked.name == f"lowrank-dynamics-{__version__}-paper-{git(made, 'rev-parse', 'HEAD')[:8]}"
    sources = {".gitignore", "README.md", "configs/paper.yaml", "configs/claims.yaml", "run"}
    results = {"metrics/small.parquet", "claims.parquet", "claims.md", "report.html"}
    results |= {"pages/claims.html", "pages/figure_3.html"}
    figures = {f"figures/paper/figure_3.{extension}" for extension in FORMATS}
    taken = sources | {f"results/paper/{name}" for name in results} | figures
    assert names(unpacked) == taken | {"ARCHIVE.txt", "ENVIRONMENT.txt", "CHECKSUMS"}
    assert [name for name in sorted(taken) if (unpacked / name).read_bytes() != (made / name).read_bytes()] == []
    assert (unpacked / "link").readlink() == Path("configs")
    assert os.access(unpacked / "run", os.X_OK)
    assert not (unpacked / "README.md").stat().st_mode & stat.S_IXUSR


def test_the_tables_of_the_sensitivity_study_are_in_it_where_there_are_some(project: Path, tmp_path: Path) -> None:
    files.write(files.read(project / "results/paper/claims.parquet", COLUMNS), "page", {"code": "x"}, tmp_path / "t")
    for ending, written in ((".parquet", "t"), (".md", "t.md")):
        shutil.copy(tmp_path / written, project / "results" / "paper" / f"sensitivity{ending}")
    inside = unpack(write_archive(project, "paper", tmp_path / "archive").path, tmp_path / "elsewhere")
    assert {"results/paper/sensitivity.parquet", "results/paper/sensitivity.md"} < names(inside)
    assert "but by x:" in guide_of(inside)


def test_the_environment_is_in_it(unpacked: Path) -> None:
    head, *installed = (unpacked / "ENVIRONMENT.txt").read_text().splitlines()
    assert head.startswith(f"# Python {sys.version.split()[0]}, Linux" if sys.platform == "linux" else "# Python ")
    assert f"numpy=={np.__version__}" in installed
    assert installed == sorted(set(installed), key=str.lower)


def test_the_version_in_its_name_is_the_one_that_is_cited() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_same_run_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """Also from a copy elsewhere, whose files have other times and another owner's rights."""
    other = Path(shutil.copytree(made, tmp_path / "other", symlinks=True))
    for path in other.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IWGRP)
            os.utime(path, (1, 1))
    one, two = (write_archive(root, "paper", tmp_path / root.name).path for root in (made, other))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[4:8] == bytes(4), "gzip has a time of its own"
    with tarfile.open(one) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 1_700_000_000)}


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sha256sum", "--check", "--quiet", "--strict", "CHECKSUMS"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


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
    metrics.write(Metrics(found.table.set_column(place, "value", column), found.provenance), path)


def change_a_verdict(root: Path) -> None:
    path = root / "results" / "paper" / "claims.parquet"
    table, page = files.read(path, COLUMNS), path.with_suffix(".md").read_text()
    origin = {"settings_sha256": {"small": {}}}
    files.write(table.replace("partly", "reproduced"), page, origin, path)


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
    (change_a_value, ["claims.parquet says other than the metrics beside it of all_of_it, block_1;"]),
    (change_a_verdict, ["claims.parquet says other than the metrics beside it of all_of_it;"]),
    (change_a_threshold, ["claims.parquet says other than the metrics beside it of block_1;"]),
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
    table, origin = files.read(path, COLUMNS), {"settings_sha256": {"small": {}}}
    files.write(table.assign(mean=table["mean"] * (1 + 1e-12)), "page", origin, path)
    write_archive(project, "paper", project / "archive")


def test_files_that_differ_from_the_commit_are_refused(project: Path, tmp_path: Path) -> None:
    (project / "notes.txt").write_text("which git does not know, and so no part of the sources")
    write_archive(project, "paper", tmp_path / "archive")
    (project / "README.md").write_text("Another.\n")
    (project / "run").unlink()
    with pytest.raises(UserError, match=r"^README.md, run in .* differ from the commit; commit or undo the changes$"):
        write_archive(project, "paper", tmp_path / "archive")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("results", "there is no results/paper/metrics/*.parquet, no results/paper/claims.parquet"),
        ("results/paper/report.html", "there is no results/paper/report.html in"),
        ("results/paper/pages", "there is no results/paper/pages/*.html in"),
        ("figures/paper/figure_3.svg", "there is no figures/paper/*.svg in"),
    ],
)
def test_without_a_whole_run_there_is_nothing_to_archive(project: Path, missing: str, said: str) -> None:
    (project / missing).rename(project.parent / "moved")
    with pytest.raises(UserError) as raised:
        write_archive(project, "paper", project / "archive")
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith(f" in {project}; run `make SCALE=paper` first")


def test_outside_a_repository_there_are_no_sources(project: Path) -> None:
    with pytest.raises(UserError, match="is only a part of a git repository; run this in a clone of the project"):
        write_archive(project / "configs", "paper", project / "archive")
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError, match=r"has no commit \(fatal: .*\); run this in a clone of the project"):
        write_archive(project, "paper", project / "archive")
    with pytest.raises(UserError, match="there is no scale 'huge'; choose one of smoke, laptop, paper"):
        write_archive(project, "huge", project / "archive")


def test_results_of_other_code_are_told(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the terminal and in the archive; so are figures that the run does not have."""
    before = git(project, "rev-parse", "HEAD")
    (project / "README.md").write_text("Another.\n")
    now = commit(project)
    monkeypatch.chdir(project)
    run = CliRunner().invoke(app, ["archive", "--scale", "paper"])
    assert run.exit_code == 0
    told = f"Not made by the code of this commit, but by {__version__} at {before}: every file of metrics, every figure"
    assert f"warning: {told}, the verdicts.\n" in run.output
    assert "warning: Not in this run: overview, figure_1, figure_2, figure_4, " in run.output
    assert f"archive/lowrank-dynamics-{__version__}-paper-{now[:8]}.tar.gz: 16 files, 0.0 MB\n" in run.output
    guide = guide_of(unpack(next(Path("archive").iterdir()), tmp_path / "elsewhere"))
    assert f"with the sources at commit {now} " in guide
    assert told in guide
    assert "All of them were made by the code of this commit" not in guide


def test_some_results_of_other_code_are_named(project: Path, tmp_path: Path) -> None:
    measured = small_metrics(project, "0.1.0 at 1234-dirty")
    metrics.write(measured, project / "results" / "paper" / "metrics" / "small.parquet")
    written = write_archive(project, "paper", tmp_path / "archive")
    told = "Not made by the code of this commit, but by 0.1.0 at 1234-dirty: results/paper/metrics/small.parquet."
    assert written.remarks[1:] == [told]
    assert told in guide_of(unpack(written.path, tmp_path / "elsewhere"))


def test_results_of_this_commit_need_no_remark(unpacked: Path) -> None:
    guide = guide_of(unpacked)
    assert "Not made by" not in guide
    assert "All of them were made by the code of this commit." in guide
    assert "Not in this run: overview, figure_1, figure_2, figure_4, " in guide


def test_a_whole_run_passes_the_check_of_the_code_in_its_archive(finished: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))
    commit(project)
    module = [sys.executable, "-m", "lowrank_dynamics"]
    own = environment(PYTHONPATH="workflow")

    def said(folder: Path, *arguments: str) -> str:
        run = subprocess.run([*module, *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout + run.stderr

    assert "Not in this run" not in said(project, "archive", "--scale", "smoke")
    inside = unpack(next((project / "archive").iterdir()), tmp_path / "elsewhere")
    assert sha256sum(inside).returncode == 0
    claims = yaml.safe_load((inside / "configs" / "claims.yaml").read_text())["claims"]
    assert f"and the metrics give the {len(claims)} verdicts again\n" in said(inside, "check-archive", ".")
