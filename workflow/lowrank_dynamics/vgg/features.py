"""The features that frozen convolutions make of images: computed once, read by every head that trains on them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lowrank_dynamics.config import ConvolvedData
from lowrank_dynamics.data import Dataset
from lowrank_dynamics.data.dataset import stored_dataset
from lowrank_dynamics.data.tensors import read_origin, read_tensors, write_tensors
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.vgg.convolutions import as_input, make_convolutions, pooled

AT_ONCE = 100
"""Images that pass through the convolutions together."""


def prepare(images: Path, data: ConvolvedData, weights: Path | None, path: Path, *, device: torch.device) -> None:
    """Write the features of the prepared images to one file: float32, (N, channels * pool^2), with the labels.

    `weights` is the file with those of the convolutions, if they are pretrained.
    """
    tensors, origin = read_tensors(images)
    if weights is not None:
        origin |= read_origin(weights)
    convolutions = make_convolutions(data.convolutions, weights).to(device)
    features = {}
    for split in ("train", "test"):
        features[f"{split}_labels"] = tensors[f"{split}_labels"]
        chosen = tensors[f"{split}_images"].to(device)
        name = f"features of the {split} images"
        features[f"{split}_features"] = extract(convolutions, chosen, size=data.size, pool=data.pool, name=name)
    write_tensors(features, origin, path)


@torch.no_grad()
def extract(
    convolutions: Callable[[Tensor], Tensor], images: Tensor, *, size: int, pool: int, name: str = "features"
) -> Tensor:
    """Return features (N, channels * pool^2), on the CPU, of uint8 images (N, rows, columns) or (N, 3, rows, columns).

    `name` is what the progress is shown under.
    """
    found = []
    by_channel = images.unsqueeze(1) if images.ndim == 3 else images
    with Progress(name, len(images), unit="image") as progress:
        for chunk in by_channel.split(AT_ONCE):
            found.append(pooled(convolutions, as_input(chunk.float() / 255, size), pool).cpu())
            progress.reach(sum(map(len, found)))
    return torch.cat(found)


def load(path: Path, dtype: torch.dtype) -> Dataset:
    """Read a file of features: inputs (channels * pool^2, N) as the convolutions give them, without normalization.

    An image's features lie together in memory, so that minibatches are drawn quickly.
    """
    tensors, origin = read_tensors(path)
    inputs = {split: tensors[f"{split}_features"].to(dtype).mT for split in ("train", "test")}
    return stored_dataset(inputs, tensors, origin)
