"""Whose lock it is: that of a killed run on this machine is removed, any other is left, with what
to do.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import refused
from lowrank_dynamics.storage import occupancy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a lock of Snakemake's, and the note of a run of this process."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").touch()
    program = "from pathlib import Path; from lowrank_dynamics.storage import occupancy"
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}; occupancy.occupy(Path({str(tmp_path)!r}), 'smoke', local=True)",
        ],
        check=True,
    )
    return tmp_path


@pytest.fixture
def living(folder: Path) -> Iterator[None]:
    """Let another process be a run in that folder."""
    program = "import sys; from pathlib import Path; from lowrank_dynamics.storage import occupancy"
    program += (
        f"; occupancy.occupy(Path({str(folder)!r}), 'paper', local=True); print(flush=True);"
        " sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate(b"")


def test_the_lock_of_a_killed_run_is_removed(folder: Path) -> None:
    assert "was killed; its lock is removed" in occupancy.clear(folder)
    assert not (folder / "locks").exists()
    assert occupancy.clear(folder) == ""
    assert not occupancy.is_occupied(folder)


def test_no_run_begins_while_the_lock_of_a_killed_one_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake's lock of the new run would be removed with it."""
    tried = []

    def remove(_locks: Path, **_: object) -> None:
        with refused("is active in this folder"):
            occupancy.occupy(folder, "paper", local=True)
        tried.append(True)

    monkeypatch.setattr("shutil.rmtree", remove)
    occupancy.clear(folder)
    assert tried
    occupancy.occupy(folder, "paper", local=True)


@pytest.mark.usefixtures("living")
def test_the_lock_of_a_run_that_goes_on_is_left(folder: Path) -> None:
    assert occupancy.is_occupied(folder)
    said = occupancy.clear(folder)
    assert (
        "is active in this folder: wait until it has ended, or run elsewhere, --directory" in said
    )
    assert list((folder / "locks").iterdir())
    with refused(r"a run at paper scale, process \d+ on .* is active in this folder"):
        occupancy.occupy(folder, "smoke", local=True)


def test_the_lock_of_another_machine_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert "if it has ended, remove its lock: --unlock" in occupancy.clear(folder)
    assert list((folder / "locks").iterdir())


def test_the_lock_of_a_run_whose_jobs_may_go_on_is_left(folder: Path) -> None:
    occupancy.occupy(folder, "paper", local=False)
    note = (folder / occupancy.NOTE).read_text()
    (folder / occupancy.LIVING).unlink()  # as if this process had ended
    assert '"paper"' in note
    said = occupancy.clear(folder)
    assert said.startswith("a run at paper scale, process ")
    assert "its jobs may still be queued or running: end those, on Slurm with scancel" in said
    assert list((folder / "locks").iterdir())


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"scale": "smoke"}'])
def test_a_lock_of_unknown_origin_is_left_to_snakemake(folder: Path, content: str | None) -> None:
    (folder / occupancy.NOTE).unlink()
    if content is not None:
        (folder / occupancy.NOTE).write_text(content)
    assert occupancy.clear(folder) == ""
    assert list((folder / "locks").iterdir())


def test_a_file_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert occupancy.clear(folder) == ""
    assert list((folder / "locks").iterdir())
