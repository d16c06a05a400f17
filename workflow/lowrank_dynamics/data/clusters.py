"""Synthetic classification data: Gaussian clusters with a stated separation, whitened or not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lowrank_dynamics.data.dataset import Dataset, Split


def whiten(inputs: Tensor) -> Tensor:
    """Return (X X')^{-1/2} X: (..., d, N), for which X X' = I_d to rounding (section 3). Needs N >= d."""
    left, _, right_t = torch.linalg.svd(inputs, full_matrices=False)
    return left @ right_t


def gaussian_clusters(
    dimension: int, classes: int, samples: int, separation: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw inputs (d, N), float64, and labels (N,) of K clusters of equal size, up to one sample.

    Each cluster is Gaussian with identity covariance. The centres are orthogonal and `separation` apart from one
    another, in units of a cluster's standard deviation in any direction.
    """
    labels = torch.arange(samples) % classes
    directions = torch.empty(dimension, classes, dtype=torch.float64)
    torch.nn.init.orthogonal_(directions, gain=separation / 2**0.5, generator=generator)
    noise = torch.randn(dimension, samples, dtype=torch.float64, generator=generator)
    return directions[:, labels] + noise, labels


def clusters_dataset(
    dimension: int,
    classes: int,
    samples: int,
    separation: float,
    *,
    whitened: bool,
    generators: Sequence[torch.Generator],
) -> Dataset:
    """Draw a data set of its own for each trial, one a generator: inputs (trials, d, N) in float64, no test split."""
    draws = [gaussian_clusters(dimension, classes, samples, separation, generator) for generator in generators]
    inputs = torch.stack([inputs for inputs, _ in draws])
    labels = torch.stack([labels for _, labels in draws])
    train = Split(whiten(inputs) if whitened else inputs, labels, classes)
    return Dataset(train, None, {"source": "synthetic clusters"})
