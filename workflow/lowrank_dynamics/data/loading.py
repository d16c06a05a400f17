"""A data set by its name: `source: NAME` in the settings means the module NAME of this room.

Such a module has `draw`, for data that each trial draws anew, or `load`, for data that an earlier job stored. The
module of a set of images has `prepare`, which stores them.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from lowrank_dynamics.config.data import DrawnData, StoredData
from lowrank_dynamics.config.registries import CONVOLUTIONS
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.tensors import read_origin, read_tensors


def drawn_dataset(data: DrawnData, generators: Sequence[torch.Generator]) -> Dataset:
    """Draw the data of each trial, one a generator: inputs (trials, d, N) in float64, no test split.

    The module's `draw` takes the settings and a generator, and returns inputs (d, N), float64, and labels (N,).
    """
    draws = [_module(data.source).draw(data, generator) for generator in generators]
    inputs = torch.stack([inputs for inputs, _ in draws])
    labels = torch.stack([labels for _, labels in draws])
    train = Split(whiten(inputs) if data.whitened else inputs, labels, data.classes)
    return Dataset(train, None, {"source": f"synthetic {data.source}"})


def stored_dataset(data: StoredData, path: Path, weights: Path | None, dtype: torch.dtype) -> Dataset:
    """Return the data that an earlier job stored at `path`.

    The module's `load` takes the file, a floating-point type and the settings, and returns a `Dataset`. The origin of
    the file `weights`, pretrained ones that training starts from, becomes part of that of the data.
    """
    loaded: Dataset = _module(data.source).load(path, dtype, data)
    return Dataset(loaded.train, loaded.test, loaded.origin | (read_origin(weights) if weights else {}))


def prepare_images(images: str, training_images: int, test_images: int, path: Path, fetched: Path | None) -> None:
    """Write the first images of each class to one file: uint8, with labels and origin.

    The module's `prepare` takes the same arguments but the name; `fetched` is the file that was downloaded, if any.
    """
    _module(images).prepare(training_images, test_images, path, fetched)


def stored_weights(path: Path | None, convolutions: str) -> dict[str, Tensor] | None:
    """Return the values in the file of pretrained convolutions' weights; None without a file, or for random ones.

    Raises UserError, which names the file, if it holds other values than those of the `convolutions`.
    """
    if path is None or not CONVOLUTIONS[convolutions].pretrained:
        return None
    values, _ = read_tensors(path)
    names = {f"{layer}.{part}" for layer in CONVOLUTIONS[convolutions].names for part in ("weight", "bias")}
    if set(values) != names:
        raise UserError(f"{path} does not hold the weights of {convolutions}; delete it and run again")
    return values


def whiten(inputs: Tensor) -> Tensor:
    """Return (X X')^{-1/2} X: (..., d, N), for which X X' = I_d to rounding (section 3). Needs N >= d."""
    left, _, right_t = torch.linalg.svd(inputs, full_matrices=False)
    return left @ right_t


def _module(name: str) -> ModuleType:
    return import_module(f"lowrank_dynamics.data.{name}")
