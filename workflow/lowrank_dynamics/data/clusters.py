"""Synthetic classification data: Gaussian clusters with a stated separation."""

import torch
from torch import Tensor

from lowrank_dynamics.config.data import ClusterData


def draw(data: ClusterData, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw inputs (d, N), float64, and labels (N,) of K clusters of equal size, up to one sample.

    Each cluster is Gaussian with identity covariance. The centers are orthogonal and `separation`
    apart from one another, in units of a cluster's standard deviation in any direction.
    """
    labels = torch.arange(data.samples) % data.classes
    directions = torch.empty(data.dimension, data.classes, dtype=torch.float64)
    distance_from_origin = data.separation / 2**0.5
    torch.nn.init.orthogonal_(directions, gain=distance_from_origin, generator=generator)
    noise = torch.randn(data.dimension, data.samples, dtype=torch.float64, generator=generator)
    return directions[:, labels] + noise, labels
