"""The archive: all is in it, its bytes do not vary, and contradictions are not packed."""

import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from conftest import ROOT, refused, run_named
from lowrank_dynamics import __version__
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.report.verify import require_planned, verify
from lowrank_dynamics.storage import metrics, tables
from runs import LOWRANK, environment, succeeding

pytestmark = pytest.mark.slow

Change = Callable[[Path], object]


def run_in(root: Path) -> Run:
    """Return the run at smoke scale in a copy of the project, with its own settings."""
    return run_named("smoke", root, root / "configs")


SMOKE = run_in(Path())
MEASURED, JUDGED = SMOKE.metrics("theory_setting"), SMOKE.table("claims")


def git(folder: Path, *arguments: str) -> str:
    """Return what git says, without the user's settings; all commits have one author and time."""
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        settings[f"GIT_{who}_NAME"] = settings[f"GIT_{who}_EMAIL"] = "nobody@example"
        settings[f"GIT_{who}_DATE"] = "1700000000 +0000"
    return succeeding(folder, "git", *arguments, env=environment(**settings)).stdout


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a commit of the project in which the smoke scale has run; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("made") / "project"
    shutil.copytree(finished, folder, symlinks=True)
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "the sources")):
        git(folder, *arguments)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it to change."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def archive(made: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(write_archive(run_in(made), tmp_path_factory.mktemp("archive")).path)


@pytest.fixture(scope="module")
def unpacked(archive: zipfile.ZipFile) -> Path:
    """Return the one folder that is in the archive."""
    archive.extractall(Path(str(archive.filename)).parent)
    return Path(str(archive.filename)).with_suffix("")


def test_sources_results_and_their_checksums_are_in_it(
    made: Path, archive: zipfile.ZipFile, unpacked: Path
) -> None:
    head = git(made, "rev-parse", "HEAD")[:8]
    assert unpacked.name == f"lowrank-dynamics-{__version__}-smoke-{head}"
    run = run_in(made)
    results = [run.report, *run.figures.iterdir(), *run.metrics("x").parent.iterdir()]
    for name in ("claims", "comparison"):
        results += run.results.glob(f"{name}.*")
    taken = {str(path.relative_to(made)) for path in results}
    taken |= {*git(made, "ls-files").split()}
    modes = {}
    for member in archive.infolist():
        if not member.is_dir():
            modes[member.filename.removeprefix(f"{unpacked.name}/")] = member.external_attr >> 16
    assert modes.keys() == taken | {"ro-crate-metadata.json", "manifest-sha256.txt"}
    for name in taken:
        assert (unpacked / name).read_bytes() == (made / name).read_bytes(), name
    for mode in modes.values():  # not everything that unpacks an archive can make links
        assert not stat.S_ISLNK(mode)
    assert modes[".ci/run"] & stat.S_IXUSR
    check = ("sha256sum", "--check", "--quiet", "--strict", "manifest-sha256.txt")
    succeeding(unpacked, *check)


def test_the_same_run_gives_the_same_bytes(made: Path, project: Path, tmp_path: Path) -> None:
    """Also from a copy elsewhere, whose files have other times, and in another time zone."""
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (1, 1))
    one = write_archive(run_in(made), tmp_path / "one").path
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        two = write_archive(run_in(project), tmp_path / "two").path
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_other_programs_read_what_it_is(unpacked: Path) -> None:
    """As https://w3id.org/ro/wfrun/workflow/0.5 wants it."""
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    files = {name for name, entity in entities.items() if "File" in entity["@type"]}
    assert all((unpacked / name).is_file() for name in files)
    assert str(MEASURED) in files
    run, root = entities["#run"], entities["./"]
    assert root["mainEntity"] == run["instrument"] == {"@id": "Snakefile"}
    results = {name for name in files if name.startswith(("results", "fig"))}
    assert {result["@id"] for result in run["result"]} == results
    inputs = {entity["@id"] for entity in run["object"]}
    assert inputs > {"configs/smoke.yaml", "configs/paper.yaml"}
    assert entities[root["citation"]["@id"]]["@type"] == "ScholarlyArticle"
    assert root["datePublished"].startswith("2023-11-14T22:13:20")
    assert run["startTime"] < run["endTime"]
    code = f"Not made by the code of this commit, but by {__version__}: every file of metrics"
    assert code in run["description"]
    for name in re.findall(r'\{"@id": "([^"]+)"\}', json.dumps(graph)):
        assert name.startswith("http") or name in entities


def test_the_version_in_its_name_is_the_one_that_is_cited() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def write(name: str, text: str) -> Change:
    return lambda root: (root / name).write_text(text)


def replace(name: str, old: str, new: str) -> Change:
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


def remove(name: str) -> Change:
    return lambda root: shutil.rmtree(root / name)


def forget_the_report(root: Path) -> None:
    run_in(root).report.unlink()


def draw_without_provenance(root: Path) -> None:
    Image.new("L", (1, 1)).save(run_in(root).figure("bound", "png"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (write("README.md", "Another."), "README.md in .* differ from the commit; commit or undo"),
        (write("configs/mine.yaml", ""), "configs/mine.yaml in .* is in no commit; add it"),
        (forget_the_report, "there is no results/smoke/report.html in .*; run `make SCALE="),
        (remove(".git"), r"has no commit \(fatal: .*\); run this in a clone of the project"),
        (draw_without_provenance, "bound.png has no provenance .* delete"),
    ],
)
def test_what_is_no_whole_run_of_a_commit_is_refused(
    project: Path, change: Change, message: str
) -> None:
    change(project)
    with refused(message):
        write_archive(run_in(project), project / "archive")
    assert not (project / "archive").exists()


def drop_a_trial(root: Path) -> None:
    run = metrics.read(root / MEASURED)
    metrics.write(metrics.Metrics(run.where(trial=0).table, run.cells), root / MEASURED)


def name_another_machine(root: Path) -> None:
    run = metrics.read(root / MEASURED)
    cells = {name: cell.model_copy(update={"machine": "mine"}) for name, cell in run.cells.items()}
    metrics.write(metrics.Metrics(run.table, cells), root / MEASURED)


def rename_metrics(root: Path) -> None:
    (root / MEASURED).rename(run_in(root).metrics("other"))


def change_verdicts(root: Path, **columns: object) -> None:
    run = run_in(root)
    table = tables.read(run.table("claims"), COLUMNS)
    page = run.page("claims").read_text()
    tables.write(table._replace(rows=table.rows.assign(**columns)), page, run.table("claims"))


def reproduce_all(root: Path) -> None:
    change_verdicts(root, claim_verdict="reproduced")


def test_metrics_of_other_settings_are_not_judged(project: Path) -> None:
    measured = metrics.read(project / MEASURED)
    require_planned(measured, run_in(project), MEASURED)
    replace("configs/smoke.yaml", "steps: 60\n", "steps: 61\n")(project)
    with refused(
        "was computed with other settings than the run has; name another file, or delete it and .*,"
        " and run again"
    ):
        require_planned(measured, run_in(project), MEASURED)


def test_results_of_no_scale_are_told(project: Path) -> None:
    with refused("there is no scale 'reference'; choose one of"):
        verify(project / "results" / "reference")


CONTRADICTS = "claims.parquet contradicts the metrics"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_a_trial, f"{CONTRADICTS} next to it on .*change_is_in_block_1"),
        (reproduce_all, CONTRADICTS),
        (
            replace("configs/statements/claims.yaml", "at_least: 0.9\n", "at_least: 0.8\n"),
            CONTRADICTS,
        ),
        (
            replace("configs/smoke.yaml", "steps: 60\n", "steps: 61\n"),
            "computed with other settings than those in",
        ),
        (
            rename_metrics,
            "claims.parquet has verdicts on theory_setting, whose metrics are missing",
        ),
        (write("figures/smoke/bound.svg", "<svg/>"), "bound.svg has no provenance"),
        (
            name_another_machine,
            r"figure_3\.pdf was not drawn from the metrics of the run; delete it, and run",
        ),
        (remove("configs"), "is not a folder results/<scale> next to configs/"),
    ],
)
def test_results_that_contradict_each_other_are_none(
    project: Path, change: Change, message: str
) -> None:
    change(project)
    with refused(message):
        verify(project / SMOKE.results)


def test_rounding_on_another_machine_is_no_contradiction(project: Path) -> None:
    means = tables.read(project / JUDGED, COLUMNS).rows["mean"]
    change_verdicts(project, mean=means * (1 + 1e-12))
    assert "verdicts again" in verify(project / SMOKE.results)


def test_the_code_in_it_finds_its_results_in_order(unpacked: Path) -> None:
    inside = environment(PYTHONPATH="workflow")
    run = succeeding(unpacked, *LOWRANK, "verify", str(SMOKE.results), env=inside)
    claims = yaml.safe_load((unpacked / "configs" / "statements" / "claims.yaml").read_text())
    assert f"the metrics give the {len(claims['claims'])} verdicts again\n" in run.stdout
