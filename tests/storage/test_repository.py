"""Which commit the code is of."""

import os
import subprocess
from pathlib import Path

import pytest

from lowrank_dynamics.storage import repository
from lowrank_dynamics.storage.repository import DIRTY, code_version
from lowrank_dynamics.version import __version__


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a package whose repository has one commit."""
    folder = tmp_path / "workflow" / "package"
    folder.mkdir(parents=True)
    monkeypatch.setattr(repository, "PACKAGE", folder)
    (folder / "module.py").touch()
    (tmp_path / "page.md").touch()
    (tmp_path / ".gitignore").write_text("__pycache__/")
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        [*who, "commit", "--quiet", "--message", "first"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return folder


def test_code_is_that_of_its_commit_until_the_package_differs(package: Path) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, check=True
    )
    clean = f"{__version__} at {commit.stdout.strip()}"
    assert code_version() == clean
    (package.parents[1] / "page.md").write_text("another page")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "module.pyc").touch()
    assert code_version() == clean
    (package / "new.py").touch()
    assert code_version() == f"{clean}{DIRTY}"
    (package / "new.py").unlink()
    (package / "module.py").write_text("1")
    assert code_version() == f"{clean}{DIRTY}"


def test_the_commit_of_another_repository_is_not_ours(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of one in which the sources were unpacked nor one that git's variables name."""
    ours = code_version()
    unpacked = package / "unpacked" / "workflow" / "package"
    unpacked.mkdir(parents=True)
    monkeypatch.setattr(repository, "PACKAGE", unpacked)
    assert code_version() == __version__
    monkeypatch.setenv("GIT_DIR", str(package.parents[1] / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(package.parents[1]))
    assert code_version() == __version__
    monkeypatch.setenv("GIT_DIR", str(package / "no repository"))
    monkeypatch.setattr(repository, "PACKAGE", package)
    (package / "unpacked").rename(package.parents[1] / "unpacked")
    assert code_version() == ours


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_repository_of_another_user_is_said_to_be_unreadable(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(package))  # without the user's own settings of git
    assert repository.unreadable_repository() == ""
    os.chown(package.parents[1] / ".git", 1, 1)
    os.chown(package.parents[1], 1, 1)
    assert code_version() == __version__
    assert "dubious ownership" in repository.unreadable_repository()


def test_without_a_repository_the_version_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "PACKAGE", tmp_path)
    assert code_version() == __version__
    assert repository.unreadable_repository() == ""
