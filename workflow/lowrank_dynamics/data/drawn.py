"""Data that are drawn while a network trains: a data set of its own for each trial, whitened or not."""

import pkgutil
from collections.abc import Sequence

import torch
from torch import Tensor

from lowrank_dynamics.config.data.kinds import DrawnData
from lowrank_dynamics.data.dataset import Dataset, Split


def whiten(inputs: Tensor) -> Tensor:
    """Return (X X')^{-1/2} X: (..., d, N), for which X X' = I_d to rounding (section 3). Needs N >= d."""
    left, _, right_t = torch.linalg.svd(inputs, full_matrices=False)
    return left @ right_t


def drawn_dataset(data: DrawnData, generators: Sequence[torch.Generator]) -> Dataset:
    """Draw the data of each trial, one a generator: inputs (trials, d, N) in float64, no test split."""
    draw = pkgutil.resolve_name(data.drawn_by)
    draws = [draw(data, generator) for generator in generators]
    inputs = torch.stack([inputs for inputs, _ in draws])
    labels = torch.stack([labels for _, labels in draws])
    train = Split(whiten(inputs) if data.whitened else inputs, labels, data.classes)
    return Dataset(train, None, {"source": f"synthetic {data.source}"})
