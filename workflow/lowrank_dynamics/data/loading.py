"""A data set by its name: the settings of data name their module of this room.

It has `draw`, for data that each trial draws (`data.drawn`), or `load`, for data that an
earlier job stored. The module of a set of images has `prepare`, which takes the numbers of training
and test images, the file to write, and the file that was downloaded, if any.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from lowrank_dynamics.config.data import StoredData
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.convolutions import make_convolutions
from lowrank_dynamics.storage.tensors import read_origin, read_tensors


def data_module(name: str) -> ModuleType:
    """Return the module of a source of data or of a set of images."""
    return import_module(f"lowrank_dynamics.data.{name}")


def stored_dataset(
    data: StoredData, path: Path, weights: Path | None, dtype: torch.dtype
) -> Dataset:
    """Return the data that an earlier job stored at `path`.

    The module's `load` takes the file, a floating-point type and the settings, and returns a
    `Dataset`. The origin of the file `weights`, pretrained ones that training starts from, becomes
    part of that of the data. Raises UserError if the file holds something else, or numbers of
    samples or inputs other than in the settings.
    """
    loaded: Dataset = data_module(data.module).load(path, dtype, data)
    _require_shape(path, "training", loaded.train, (data.inputs, data.training_images))
    _require_shape(path, "test", loaded.test, (data.inputs, data.test_images))
    origin = loaded.origin
    if weights is not None:
        origin = origin | read_origin(weights)
    return Dataset(loaded.train, loaded.test, origin)


def _require_shape(path: Path, name: str, split: Split | None, needed: tuple[int, int]) -> None:
    shape = tuple(split.inputs.shape) if split else ()
    if shape != needed:
        raise UserError(
            f"{path} has {name} inputs of shape {shape}, and the settings need {needed}; name"
            " another file"
        )


def stored_convolutions(name: str, weights: Path | None) -> nn.Sequential:
    """Return convolutions, pretrained ones with the values in `weights`. Raises UserError if that
    file holds others.
    """
    values = None
    if weights is not None:
        values, _ = read_tensors(weights)
    try:
        return make_convolutions(name, values)
    except RuntimeError as error:
        raise UserError(
            f"{weights} does not hold the weights of {name}; delete it and run again"
        ) from error
