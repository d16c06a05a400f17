"""The pixels of images as inputs: all shifted and scaled by one mean and one deviation."""

from pathlib import Path

import torch

from lowrank_dynamics.config.data import PixelData
from lowrank_dynamics.data.dataset import IMAGE_TENSORS, Dataset, labeled_dataset
from lowrank_dynamics.storage.tensors import read_tensors


def load(path: Path, dtype: torch.dtype, _: PixelData | None = None) -> Dataset:
    """Read a file of prepared images: inputs (d, N), with mean 0 and variance 1 over all training
    pixels.
    """
    tensors, origin = read_tensors(path, IMAGE_TENSORS)
    pixels = {}
    for split in ("train", "test"):
        pixels[split] = tensors[f"{split}_images"].flatten(1).mT.double() / 255
    mean = pixels["train"].mean()
    deviation = pixels["train"].std(correction=0)
    inputs = {}
    for split, values in pixels.items():
        normalized = (values - mean) / deviation
        inputs[split] = normalized.to(dtype).contiguous()
    return labeled_dataset(inputs, tensors, origin)
