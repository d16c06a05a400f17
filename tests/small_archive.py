"""A small project with one experiment, committed, with the results of its run; and an archive of it, unpacked."""

import os
import shutil
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from typer.testing import CliRunner

from conftest import CLAIM, SMALL, planted, row
from lowrank_dynamics import __version__
from lowrank_dynamics.cli import app
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.figures import style
from lowrank_dynamics.report.archive import write_archive
from lowrank_dynamics.storage import metrics, provenance
from lowrank_dynamics.storage.metrics import Metrics

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
        "configs/paper.yaml": yaml.safe_dump(
            {"seed": 1, "device": "cpu", "gpu": "a100", "experiments": {"small": SMALL}}
        ),
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
    settings = load_settings("paper", root / "configs").of_variant("small")
    shares = row(20, "block_share", [[0.98, 0.02], [0.97, 0.03], [0.99, 0.01]])
    found = planted({Cell("elu", "full"): [shares]})
    own = {"scale": "paper", "settings": settings, "settings_sha256": settings.digest, "code": code}
    return Metrics(found.table, {name: origin.model_copy(update=own) for name, origin in found.cells.items()})


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
        style.save(figure, figures / "figure_3", provenance.figure_origin("figure_3", [measured.provenance]))
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


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sha256sum", "--check", "--quiet", "--strict", "CHECKSUMS"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
