"""The data sets: synthetic clusters and Fashion-MNIST, each as a `Dataset` that training reads."""

from lowrank_dynamics.data.dataset import Dataset, Split

__all__ = ["Dataset", "Split"]
