"""A data set by its name: `source: NAME` in the settings means the module NAME of this room.

Such a module has `draw`, for data that each trial draws anew, or `load`, for data that an earlier
job stored. The module of a set of images has `prepare`, which takes the numbers of training and
test images, the file to write, and the file that was downloaded, if any.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from lowrank_dynamics.config.data import DrawnData, StoredData
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.convolutions import make_convolutions
from lowrank_dynamics.storage.tensors import read_origin, read_tensors


def data_module(name: str) -> ModuleType:
    """Return the module of a source of data or of a set of images."""
    return import_module(f"lowrank_dynamics.data.{name}")


def drawn_dataset(data: DrawnData, generators: Sequence[torch.Generator]) -> Dataset:
    """Draw the data of each trial, one per generator: inputs (trials, d, N) in float64, no test
    split.

    The module's `draw` takes the settings and a generator, and returns inputs (d, N), float64, and
    labels (N,).
    """
    draws = [data_module(data.source).draw(data, generator) for generator in generators]
    inputs, labels = (torch.stack(each) for each in zip(*draws, strict=True))
    train = Split(whiten(inputs) if data.whitened else inputs, labels, data.classes)
    return Dataset(train, None, {"source": f"synthetic {data.source}"})


def stored_dataset(
    data: StoredData, path: Path, weights: Path | None, dtype: torch.dtype
) -> Dataset:
    """Return the data that an earlier job stored at `path`.

    The module's `load` takes the file, a floating-point type and the settings, and returns a
    `Dataset`. The origin of the file `weights`, pretrained ones that training starts from, becomes
    part of that of the data. Raises UserError if the file holds something else, or numbers of
    samples or inputs other than in the settings.
    """
    loaded: Dataset = data_module(data.source).load(path, dtype, data)
    counts = {
        "training": (loaded.train, data.training_images),
        "test": (loaded.test, data.test_images),
    }
    for name, (split, count) in counts.items():
        found, needed = tuple(split.inputs.shape) if split else (), (data.inputs, count)
        if found != needed:
            raise UserError(
                f"{path} has {name} inputs of shape {found}, and the settings need {needed}; name"
                " another file"
            )
    return Dataset(
        loaded.train, loaded.test, loaded.origin | (read_origin(weights) if weights else {})
    )


def stored_convolutions(name: str, weights: Path | None) -> nn.Sequential:
    """Return convolutions, pretrained ones with the values in `weights`. Raises UserError if that
    file holds others.
    """
    try:
        return make_convolutions(name, read_tensors(weights)[0] if weights else None)
    except RuntimeError as error:
        raise UserError(
            f"{weights} does not hold the weights of {name}; delete it and run again"
        ) from error


def whiten(inputs: Tensor) -> Tensor:
    """Return (X X')^{-1/2} X: (..., d, N), for which X X' = I_d to rounding (section 3). Needs N >=
    d.
    """
    left, _, right_t = torch.linalg.svd(inputs, full_matrices=False)
    return left @ right_t
