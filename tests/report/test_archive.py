"""The archive: everything is in it, its bytes do not vary, and what is no whole run is refused."""

import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from conftest import ROOT
from lowrank_dynamics import __version__
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.cli import app
from lowrank_dynamics.config.registries import FORMATS
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.storage import metrics, tables
from runs import environment
from small_archive import commit, git, guide_of, names, sha256sum, small_metrics, unpack


def test_sources_and_results_are_in_it(made: Path, unpacked: Path) -> None:
    assert unpacked.name == f"lowrank-dynamics-{__version__}-paper-{git(made, 'rev-parse', 'HEAD')[:8]}"
    sources = {".gitignore", "README.md", "configs/paper.yaml", "configs/claims.yaml", "run"}
    results = {"metrics/small.parquet", "claims.parquet", "claims.md", "report.html"}
    figures = {f"figures/paper/figure_3.{extension}" for extension in FORMATS}
    taken = sources | {f"results/paper/{name}" for name in results} | figures
    assert names(unpacked) == taken | {"ARCHIVE.txt", "ENVIRONMENT.txt", "CHECKSUMS"}
    assert [name for name in sorted(taken) if (unpacked / name).read_bytes() != (made / name).read_bytes()] == []
    assert (unpacked / "link").readlink() == Path("configs")
    assert os.access(unpacked / "run", os.X_OK)
    assert not (unpacked / "README.md").stat().st_mode & stat.S_IXUSR


def test_the_tables_of_the_sensitivity_study_are_in_it_where_there_are_some(project: Path, tmp_path: Path) -> None:
    judged = tables.read(project / "results/paper/claims.parquet", COLUMNS)
    tables.write(judged._replace(origin={"code": "x"}), "page", tmp_path / "t")
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
    with pytest.raises(UserError, match=r"there is no scale 'huge'; choose one of paper$"):
        write_archive(project, "huge", project / "archive")
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError, match=r"has no commit \(fatal: .*\); run this in a clone of the project"):
        write_archive(project, "paper", project / "archive")


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
    assert f"archive/lowrank-dynamics-{__version__}-paper-{now[:8]}.tar.gz: 14 files, 0.0 MB\n" in run.output
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

    def said(folder: Path, *arguments: str) -> str:
        command, own = [sys.executable, "-m", "lowrank_dynamics", *arguments], environment()
        run = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout + run.stderr

    assert "Not in this run" not in said(project, "archive", "--scale", "smoke")
    inside = unpack(next((project / "archive").iterdir()), tmp_path / "elsewhere")
    assert sha256sum(inside).returncode == 0
    claims = yaml.safe_load((inside / "configs" / "claims.yaml").read_text())["claims"]
    assert f"and the metrics give the {len(claims)} verdicts again\n" in said(inside, "check-archive", ".")
