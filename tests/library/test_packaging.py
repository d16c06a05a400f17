"""What is published: a source distribution, the wheel that is built from it, its types."""

import os
import re
import subprocess
import sys
import tarfile
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution of the committed files, and the wheel built from it."""
    pytest.importorskip("build", reason="build is not installed: `make test-all` does")
    folder = tmp_path_factory.mktemp("built")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file() and not name.startswith(("results/", "figures/")):
            target = folder / "sources" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "build", "--outdir", folder, folder / "sources"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    return folder


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """A folder with the wheel, which comes before the project's own sources in PYTHONPATH."""
    (wheel,) = built.glob("*.whl")
    target = built / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
    subprocess.run([*pip, wheel], check=True)
    return target


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    own = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=own, capture_output=True, text=True, check=False
    )


def test_the_example_of_the_source_distribution_runs(
    built: Path, installed: Path, tmp_path: Path
) -> None:
    """With the wheel that is built from it, in a folder outside the project."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        names = sources.getnames()
        (page,) = [name for name in names if name.endswith("docs/library.md")]
        content = sources.extractfile(page)
        assert content
        example = re.search(r"```python\n(.*?)```", content.read().decode(), re.DOTALL)
    assert not [name for name in names if "/tests/" in name]
    assert example
    where = "\nimport lowrank_dynamics; print(lowrank_dynamics.__file__)"
    finished = run(installed, tmp_path, "-W", "error", "-c", example[1] + where)
    assert finished.returncode == 0, finished.stderr
    assert re.match(r"full 0\.\d\d, low-rank 0\.\d\d\n", finished.stdout)
    assert finished.stdout.splitlines()[-1].startswith(str(installed))


def test_the_metadata_say_what_it_is_for(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with ZipFile(path) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    keywords = re.findall(r"^  - (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert set(metadata["Keywords"].split(",")) <= set(keywords)
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata.get_all("Project-URL") == ["Paper, https://arxiv.org/abs/2602.06208"]


def test_types_reach_those_who_use_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text(
        "from lowrank_dynamics import low_rank_like\n"
        "from torch import nn\n"
        "low_rank_like(nn.Sequential(), 4, at=3)\n"
        "reveal_type(low_rank_like(nn.Sequential()))\n",
        encoding="utf-8",
    )
    own = {"MYPYPATH": "", "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "mypy", "--config-file", "", "used.py"]
    checked = subprocess.run(
        command, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert 'Argument "at" to "low_rank_like" has incompatible type "int"' in checked.stdout
    assert 'Revealed type is "torch.nn.modules.module.Module"' in checked.stdout
    assert (installed / "lowrank_dynamics" / "py.typed").exists()
