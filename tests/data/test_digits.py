"""Handwritten digits: the embedded file, split into training and test images."""

from pathlib import Path

import torch

from conftest import refused
from lowrank_dynamics.config.data import PixelData
from lowrank_dynamics.config.registries import IMAGES
from lowrank_dynamics.data import digits, pixels
from lowrank_dynamics.storage.tensors import read_tensors


def test_the_embedded_digits_are_split(tmp_path: Path) -> None:
    path = tmp_path / "digits.safetensors"
    most = IMAGES["digits"]
    digits.prepare(most.training_images, most.test_images, path)
    tensors, origin = read_tensors(path)
    assert tensors["train_images"].shape == (1_400, 8, 8)
    assert torch.bincount(tensors["train_labels"].long()).tolist() == [140] * 10
    assert torch.bincount(tensors["test_labels"].long()).tolist() == [33] * 10
    with refused("340 samples need 34 of each class, but one class has only 33"):
        digits.prepare(10, 340, path)
    assert int(tensors["train_images"].max()) == 16
    assert origin[digits.FILE].startswith("embedded digits, sha256")


def test_they_are_inputs_with_mean_zero_and_variance_one(tmp_path: Path) -> None:
    path = tmp_path / "digits.safetensors"
    digits.prepare(100, 50, path)
    data = pixels.load(path, torch.float64)
    assert data.train.inputs.shape == (64, 100)
    assert abs(float(data.train.inputs.mean())) < 1e-12
    assert abs(float(data.train.inputs.var(correction=0)) - 1) < 1e-12
    settings = PixelData(source="digits", training_images=100, test_images=50)
    assert (settings.dimension, settings.module, settings.fetched) == (64, "pixels", ())
