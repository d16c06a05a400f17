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
        inputs_by_chunk = self.inputs.split(size, dim=-1)
        labels_by_chunk = self.labels.split(size, dim=-1)
        for inputs, labels in zip(inputs_by_chunk, labels_by_chunk, strict=True):
            yield Split(inputs, labels, self.classes)

    def to(self, device: torch.device) -> "Split":
        """Return the same samples on a device."""
        return Split(self.inputs.to(device), self.labels.to(device), self.classes)

    def at(self, indices: Tensor) -> "Split":
        """Return the samples at each trial's `indices` (trials, n): inputs (trials, d, n), labels
        (trials, n).
        """
        if self.inputs.ndim == 2:
            return Split(self.inputs.mT[indices].mT, self.labels[indices], self.classes)
        inputs = self.inputs.take_along_dim(indices.unsqueeze(-2), dim=-1)
        labels = self.labels.take_along_dim(indices, dim=-1)
        return Split(inputs, labels, self.classes)


IMAGE_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
"""The names of the tensors in a file of images."""


@dataclass(frozen=True)
class Dataset:
    """A training split, a test split where there is one, and where the data came from."""

    train: Split
    test: Split | None
    origin: dict[str, str]

    def to(self, device: torch.device) -> "Dataset":
        """Return the same data on a device."""
        test = None if self.test is None else self.test.to(device)
        return Dataset(self.train.to(device), test, self.origin)


def labeled_dataset(
    inputs: Mapping[str, Tensor], stored: Mapping[str, Tensor], origin: dict[str, str]
) -> Dataset:
    """Return the data set of ten classes with these `inputs`, (d, N) by split, and the labels that
    were `stored`.
    """
    train = Split(inputs["train"], stored["train_labels"].long(), classes=10)
    test = Split(inputs["test"], stored["test_labels"].long(), classes=10)
    return Dataset(train, test, origin)


def first_of_each_class(labels: Tensor, count: int) -> Tensor:
    """Return the indices, ascending, of the first `count / classes` samples of each class, by
    `labels` (N,).

    Raises UserError if `count` is not a multiple of the number of classes, or a class has too few.
    """
    classes = int(labels.max()) + 1
    per_class, remainder = divmod(count, classes)
    if remainder:
        raise UserError(f"{count} samples cannot be shared equally among {classes} classes")
    first = []
    for label in range(classes):
        members = torch.nonzero(labels == label).flatten()
        if len(members) < per_class:
            raise UserError(
                f"{count} samples need {per_class} of each class, but one class has only"
                f" {len(members)}"
            )
        first.append(members[:per_class])
    return torch.cat(first).sort().values


def first_images(
    tensors: Mapping[str, Tensor], training_images: int, test_images: int
) -> dict[str, Tensor]:
    """Return the first images of both splits, in file order and equally many per class, with their
    labels.

    `tensors`: `train_images`, `train_labels`, `test_images` and `test_labels`. Raises UserError if
    a class has too few.
    """
    first = {}
    for split, count in (("train", training_images), ("test", test_images)):
        indices = first_of_each_class(tensors[f"{split}_labels"], count)
        for name in (f"{split}_images", f"{split}_labels"):
            first[name] = tensors[name][indices].contiguous()
    return first
