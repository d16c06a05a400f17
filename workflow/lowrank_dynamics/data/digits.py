"""Handwritten digits of 8 x 8 pixels, from the file that comes with the package."""

from pathlib import Path

import numpy as np
import torch

from lowrank_dynamics.data.dataset import first_images
from lowrank_dynamics.data.sources import Folder, load_verified, user_folder
from lowrank_dynamics.storage.tensors import write_tensors

FILE = "digits.csv.gz"
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
EMBEDDED = Folder("embedded digits", Path(__file__).parent / "digits-images")
TRAINING_IMAGES = 1_437
"""The first four fifths of the file, before the test images."""


def prepare(training_images: int, test_images: int, path: Path, _: Path | None = None) -> None:
    """Write the first images of each class to one file: uint8, (N, 8, 8), with their origin."""
    sources = [*user_folder("digits"), EMBEDDED]
    content, place = load_verified(FILE, SHA256, sources, "digits")
    rows = np.loadtxt(content.decode().splitlines(), delimiter=",", dtype=np.uint8)
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 8, 8).copy())
    labels = torch.from_numpy(rows[:, -1].copy())
    tensors = {
        "train_images": images[:TRAINING_IMAGES],
        "train_labels": labels[:TRAINING_IMAGES],
        "test_images": images[TRAINING_IMAGES:],
        "test_labels": labels[TRAINING_IMAGES:],
    }
    origin = {FILE: f"{place}, sha256 {SHA256}"}
    write_tensors(first_images(tensors, training_images, test_images), origin, path)
