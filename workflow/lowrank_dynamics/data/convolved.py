"""Images that pass through convolutions: their features, computed once, or the images themselves for fine-tuning."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lowrank_dynamics.config.data import CONVOLVED_AT_ONCE, ConvolvedData
from lowrank_dynamics.data.dataset import Dataset, labeled_dataset, named
from lowrank_dynamics.data.loading import stored_convolutions
from lowrank_dynamics.models.convolutions import as_input, pooled
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.storage.tensors import read_origin, read_tensors, write_tensors


def prepare_features(
    images: Path, convolutions: str, weights: Path | None, path: Path, *, size: int, pool: int, device: torch.device
) -> None:
    """Write the features of the prepared images to one file: float32, (N, channels * pool^2), with the labels.

    `convolutions` is a name in CONVOLUTIONS, `weights` the file with those of pretrained ones.
    """
    tensors, origin = read_tensors(images, named("images"))
    network = stored_convolutions(convolutions, weights).to(device)
    features = {}
    for split in ("train", "test"):
        chosen, name = tensors[f"{split}_images"].to(device), f"features of the {split} images"
        features[f"{split}_features"] = extract(network, chosen, size=size, pool=pool, name=name)
        features[f"{split}_labels"] = tensors[f"{split}_labels"]
    write_tensors(features, origin | (read_origin(weights) if weights else {}), path)


@torch.no_grad()
def extract(
    convolutions: Callable[[Tensor], Tensor], images: Tensor, *, size: int, pool: int, name: str = "features"
) -> Tensor:
    """Return features (N, channels * pool^2), on the CPU, of uint8 images: (N, rows, columns), or RGB (N, 3, ...)."""
    found = []
    by_channel = images.unsqueeze(1) if images.ndim == 3 else images
    with Progress(name, len(images), unit="image") as progress:
        for chunk in by_channel.split(CONVOLVED_AT_ONCE):
            found.append(pooled(convolutions, as_input(chunk.float() / 255, size), pool).cpu())
            progress.reach(sum(map(len, found)))
    return torch.cat(found)


def load(path: Path, dtype: torch.dtype, data: ConvolvedData) -> Dataset:
    """Read a file of features, or of images where the convolutions are trained too.

    Features become inputs (channels * pool^2, N), without normalization; an image's features lie together in memory,
    which makes minibatches fast. Images become inputs (pixels, N) in [0, 1].
    """
    tensors, origin = read_tensors(path, named("images" if data.fine_tuned else "features"))
    if data.fine_tuned:
        inputs = {split: tensors[f"{split}_images"].flatten(1).to(dtype).div(255).mT for split in ("train", "test")}
    else:
        inputs = {split: tensors[f"{split}_features"].to(dtype).mT for split in ("train", "test")}
    return labeled_dataset(inputs, tensors, origin)
