"""The data set that training reads, and how labels become targets and images become inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from lowrank_dynamics.errors import UserError


@dataclass(frozen=True)
class Split:
    """Inputs X: (d, N), or (trials, d, N) if each trial has its own data, and labels (N,) or
    (trials, N).
    """

    inputs: Tensor
    labels: Tensor
    classes: int

    @cached_property
    def targets(self) -> Tensor:
        """One-hot Y: (K, N) or (trials, K, N), of the inputs' dtype."""
        return functional.one_hot(self.labels, self.classes).mT.to(self.inputs.dtype)

    def chunks(self, size: int) -> "Iterator[Split]":
        """Yield the samples in order, at most `size` at a time."""
        for inputs, labels in zip(
            self.inputs.split(size, dim=-1), self.labels.split(size, dim=-1), strict=True
        ):
            yield Split(inputs, labels, self.classes)

    def to(self, device: torch.device) -> "Split":
        """Return the same samples on a device."""
        return Split(self.inputs.to(device), self.labels.to(device), self.classes)

    def at(self, indices: Tensor) -> "Split":
        """Return the samples at `indices` (trials, n), each trial's own: inputs (trials, d, n),
        labels (trials, n).
        """
        if self.inputs.ndim == 2:
            return Split(self.inputs.mT[indices].mT, self.labels[indices], self.classes)
        chosen = self.inputs.take_along_dim(indices.unsqueeze(-2), dim=-1)
        return Split(chosen, self.labels.take_along_dim(indices, dim=-1), self.classes)


@dataclass(frozen=True)
class Dataset:
    """A training split, a test split where there is one, and where the data came from."""

    train: Split
    test: Split | None
    origin: dict[str, str]

    def to(self, device: torch.device) -> "Dataset":
        """Return the same data on a device."""
        return Dataset(
            self.train.to(device), self.test.to(device) if self.test else None, self.origin
        )


def named(content: str) -> tuple[str, ...]:
    """Return the names of stored tensors: `images` or `features` by split, and the labels."""
    return tuple(f"{split}_{each}" for split in ("train", "test") for each in (content, "labels"))


def labeled_dataset(
    inputs: Mapping[str, Tensor], stored: Mapping[str, Tensor], origin: dict[str, str]
) -> Dataset:
    """Return the data set of ten classes with these `inputs`, (d, N) by split, and the labels that
    were `stored`.
    """
    train, test = (
        Split(inputs[split], stored[f"{split}_labels"].long(), classes=10)
        for split in ("train", "test")
    )
    return Dataset(train, test, origin)


def first_of_each_class(labels: Tensor, count: int) -> Tensor:
    """Return the indices, ascending, of the first `count / classes` samples of each class, by
    `labels` (N,).

    Raises UserError if `count` is no multiple of the number of classes or a class is short.
    """
    classes = int(labels.max()) + 1
    each, remainder = divmod(count, classes)
    if remainder:
        raise UserError(f"{count} samples cannot be shared equally among {classes} classes")
    members = [torch.nonzero(labels == label).flatten() for label in range(classes)]
    if (shortest := min(map(len, members))) < each:
        raise UserError(
            f"{count} samples need {each} of each class, but one class has only {shortest}"
        )
    return torch.cat([indices[:each] for indices in members]).sort().values


def first_images(
    tensors: Mapping[str, Tensor], training_images: int, test_images: int
) -> dict[str, Tensor]:
    """Return the first images of both splits, in file order and equally many per class, with their
    labels.

    `tensors`: `train_images`, `train_labels`, `test_images` and `test_labels`. Raises UserError if
    a class is short.
    """
    chosen = {}
    for split, count in (("train", training_images), ("test", test_images)):
        indices = first_of_each_class(tensors[f"{split}_labels"], count)
        for name in (f"{split}_images", f"{split}_labels"):
            chosen[name] = tensors[name][indices].contiguous()
    return chosen
