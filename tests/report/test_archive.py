"""The archive: all is in it, its bytes do not vary, other programs read it; contradictions are
found, not packed.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from conftest import ROOT
from lowrank_dynamics import __version__
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.report.verify import verify
from lowrank_dynamics.storage import metrics, tables
from runs import environment

RUN = Path("results", "smoke")
MEASURED, JUDGED = RUN / "metrics" / "theory_setting.parquet", RUN / "claims.parquet"


def git(folder: Path, *arguments: str) -> str:
    """Run git with no settings but the project's own, and one time for all commits; return what it
    says.
    """
    name = {
        f"GIT_{who}_{what}": "nobody@example"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    time = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    own = os.environ | name | time | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=own, capture_output=True, text=True, check=True
    ).stdout


def commit(folder: Path) -> None:
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "the sources")):
        git(folder, *arguments)


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a commit of the project in which the smoke scale has run; tests leave it as it is."""
    root = Path(
        shutil.copytree(finished, tmp_path_factory.mktemp("made") / "project", symlinks=True)
    )
    (root / "said.txt").unlink()
    commit(root)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it to change."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def archive(made: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(write_archive(made, "smoke", tmp_path_factory.mktemp("archive")).path)


@pytest.fixture(scope="module")
def unpacked(archive: zipfile.ZipFile) -> Path:
    """Return the one folder that is in the archive."""
    archive.extractall(Path(str(archive.filename)).parent)
    return Path(str(archive.filename)).with_suffix("")


def test_sources_results_and_their_checksums_are_in_it(
    made: Path, archive: zipfile.ZipFile, unpacked: Path
) -> None:
    assert (
        unpacked.name
        == f"lowrank-dynamics-{__version__}-smoke-{git(made, 'rev-parse', 'HEAD')[:8]}"
    )
    patterns = (
        "figures/smoke/*",
        f"{RUN}/metrics/*",
        *(f"{RUN}/{each}.*" for each in ("claims", "comparison")),
    )
    results = {str(path.relative_to(made)) for pattern in patterns for path in made.glob(pattern)}
    taken = {*git(made, "ls-files").split(), *results, f"{RUN}/report.html"}
    members = [each for each in archive.infolist() if not each.is_dir()]
    files = {
        each.filename.removeprefix(f"{unpacked.name}/"): each.external_attr >> 16
        for each in members
    }
    assert set(files) == taken | {"ro-crate-metadata.json", "manifest-sha256.txt"}
    assert not any(
        map(stat.S_ISLNK, files.values())
    )  # not everything that unpacks an archive can make links
    assert {name for name, mode in files.items() if mode & stat.S_IXUSR} >= {".ci/run"}
    same = [(unpacked / name).read_bytes() == (made / name).read_bytes() for name in taken]
    assert all(same)
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict", "manifest-sha256.txt"],
        cwd=unpacked,
        check=True,
    )


def test_the_same_run_gives_the_same_bytes(made: Path, project: Path, tmp_path: Path) -> None:
    """Also from a copy elsewhere, whose files have other times, and in another time zone."""
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (1, 1))
    one = write_archive(made, "smoke", tmp_path / "one").path
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        two = write_archive(project, "smoke", tmp_path / "two").path
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_other_programs_read_what_it_is(unpacked: Path) -> None:
    """As https://w3id.org/ro/wfrun/workflow/0.5 wants it."""
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    found = {entity["@id"]: entity for entity in graph}
    files = {name for name, entity in found.items() if "File" in entity["@type"]}
    assert [name for name in files if not (unpacked / name).is_file()] == []
    assert f"{MEASURED}" in files
    run, root = found["#run"], found["./"]
    assert root["mainEntity"] == run["instrument"] == {"@id": "Snakefile"}
    assert {each["@id"] for each in run["result"]} == {
        name for name in files if name.startswith(("results", "fig"))
    }
    assert {each["@id"] for each in run["object"]} > {"configs/smoke.yaml", "configs/paper.yaml"}
    assert found[root["citation"]["@id"]]["@type"] == "ScholarlyArticle"
    assert root["datePublished"].startswith("2023-11-14T22:13:20")
    assert run["startTime"] < run["endTime"]
    assert (
        f"Not made by the code of this commit, but by {__version__}: every file of metrics"
        in run["description"]
    )
    references = re.findall(r'\{"@id": "([^"]+)"\}', json.dumps(graph))
    assert {name for name in references if not name.startswith("http")} <= set(found)


def test_the_version_in_its_name_is_the_one_that_is_cited() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda root: (root / "README.md").write_text("Another."),
        "README.md in .* differ from the commit; commit or undo",
    ),
    (
        lambda root: (root / "configs" / "mine.yaml").touch(),
        "configs/mine.yaml in .* is in no commit; add it",
    ),
    (
        lambda root: (root / RUN / "report.html").unlink(),
        "there is no results/smoke/report.html in .*; run `make SCALE=",
    ),
    (
        lambda root: shutil.rmtree(root / ".git"),
        r"has no commit \(fatal: .*\); run this in a clone of the project",
    ),
    (
        lambda root: Image.new("L", (1, 1)).save(root / "figures/smoke/bound.png"),
        "bound.png has no provenance .* delete",
    ),
]


@pytest.mark.parametrize(("change", "said"), REFUSED)
def test_what_is_no_whole_run_of_a_commit_is_refused(
    project: Path, change: Callable[[Path], object], said: str
) -> None:
    change(project)
    with pytest.raises(UserError, match=said):
        write_archive(project, "smoke", project / "archive")
    assert not (project / "archive").exists()


def drop_a_trial(root: Path) -> None:
    found = metrics.read(root / MEASURED)
    metrics.write(metrics.Metrics(found.where(trial=0).table, found.cells), root / MEASURED)


def change_the_verdicts(root: Path, column: str, value: object) -> None:
    found, page = (
        tables.read(root / JUDGED, COLUMNS),
        (root / JUDGED).with_suffix(".md").read_text(),
    )
    tables.write(found._replace(rows=found.rows.assign(**{column: value})), page, root / JUDGED)


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


CONTRADICTIONS: list[tuple[Callable[[Path], object], str]] = [
    (drop_a_trial, "claims.parquet contradicts the metrics beside it on .*change_is_in_block_1"),
    (
        lambda root: change_the_verdicts(root, "claim_verdict", "reproduced"),
        "claims.parquet contradicts the metrics",
    ),
    (
        replace("configs/claims.yaml", "at_least: 0.9\n", "at_least: 0.8\n"),
        "claims.parquet contradicts the metrics",
    ),
    (
        replace("configs/smoke.yaml", "steps: 60\n", "steps: 61\n"),
        "computed with other settings than those in",
    ),
    (
        lambda root: (root / MEASURED).rename(root / RUN / "metrics" / "other.parquet"),
        "of which there are no metrics",
    ),
    (
        lambda root: (root / "figures/smoke/bound.svg").write_text("<svg/>"),
        "bound.svg has no provenance",
    ),
    (lambda root: shutil.rmtree(root / "configs"), "is no folder results/<scale> beside configs/"),
]


@pytest.mark.parametrize(("change", "said"), CONTRADICTIONS)
def test_results_that_contradict_each_other_are_none(
    project: Path, change: Callable[[Path], object], said: str
) -> None:
    change(project)
    with pytest.raises(UserError, match=said):
        verify(project / RUN)


def test_rounding_on_another_machine_is_no_contradiction(project: Path) -> None:
    found = tables.read(project / JUDGED, COLUMNS)
    change_the_verdicts(project, "mean", found.rows["mean"] * (1 + 1e-12))
    assert "verdicts again" in verify(project / RUN)


def test_the_code_in_it_finds_its_results_in_order(unpacked: Path) -> None:
    command = [sys.executable, "-m", "lowrank_dynamics", "verify", str(RUN)]
    own = environment() | {"PYTHONPATH": "workflow"}
    run = subprocess.run(command, cwd=unpacked, env=own, capture_output=True, text=True, check=True)
    claims = yaml.safe_load((unpacked / "configs" / "claims.yaml").read_text())["claims"]
    assert f"the metrics give the {len(claims)} verdicts again\n" in run.stdout
