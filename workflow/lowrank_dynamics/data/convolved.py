"""Images that pass through convolutions: their features, computed once, or the images themselves
for fine-tuning.

Features are computed and stored in parts, so that an interrupted run loses one part and not all of
them.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.parts import Part, images_at_once
from lowrank_dynamics.data.dataset import IMAGE_TENSORS, Dataset, labeled_dataset
from lowrank_dynamics.data.loading import stored_convolutions
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.convolutions import as_input, pooled
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.source_code import code_sha256
from lowrank_dynamics.storage.provenance import sha256
from lowrank_dynamics.storage.tensors import DataOrigin, read_origin, read_tensors, write_tensors

CHANNELS_LAST = 64
"""Pixels a side from which convolutions on a CPU are faster if channels lie side by side; below
they are slower.
"""
MADE = "features"
"""The key in a part's origin that says of what, by what and how its features were computed."""


def prepare_part(
    images: Path,
    convolutions: str,
    weights: Path | None,
    path: Path,
    *,
    part: Part,
    size: int,
    pool: int,
    device: torch.device,
) -> None:
    """Write the features of a part of the prepared images: float32, (n, channels * pool^2), and the
    labels (n,).

    `convolutions` is a name in CONVOLUTIONS, `weights` the file with those of pretrained ones.
    Raises UserError if there are fewer images.
    """
    tensors, origin = read_tensors(images, IMAGE_TENSORS)
    of_split = tensors[f"{part.split}_images"]
    if part.last >= len(of_split):
        raise UserError(
            f"{images} has {len(of_split)} {part.split} images, numbered from 0; there is no part"
            f" {part.name}"
        )
    network = stored_convolutions(convolutions, weights).to(device)
    if device.type == "cpu" and size >= CHANNELS_LAST:
        # torch's stub lacks this form of `to`
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_part = of_split[part.rows].to(device)
    features = extract(network, of_part, size=size, pool=pool, name=f"features of {part.name}")
    origin[MADE] = (
        f"{_kind(convolutions, size, pool)}, of images sha256 {sha256(images)}, by code sha256"
        f" {code_sha256('data.convolved')}"
    )
    if weights is not None:
        origin |= read_origin(weights)
    content = {
        _name(part, "features"): features,
        _name(part, "labels"): tensors[f"{part.split}_labels"][part.rows],
    }
    write_tensors(content, origin, path)


@torch.no_grad()
def extract(
    convolutions: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    size: int,
    pool: int,
    name: str = "features",
) -> Tensor:
    """Return features (N, channels * pool^2), on the CPU, of uint8 images: (N, rows, columns), or
    RGB (N, 3, ...).

    They pass through in equal groups, because a single image is rounded differently from several.
    """
    at_once = images_at_once(size, on_gpu=images.device.type != "cpu")
    groups = math.ceil(len(images) / at_once)
    by_channel = images.unsqueeze(1) if images.ndim == 3 else images
    features = []
    done = 0
    with closing(Progress(name, len(images), unit="image")) as progress:
        for group in by_channel.tensor_split(groups):
            inputs = as_input(group.float() / 255, size)
            features.append(pooled(convolutions, inputs, pool).cpu())
            done += len(group)
            progress.reach(done)
    return torch.cat(features)


def load(path: Path, dtype: torch.dtype, data: ConvolvedData) -> Dataset:
    """Read a folder of features in parts, or a file of images where the convolutions are trained
    too.

    Features become inputs (channels * pool^2, N), without normalization; an image's features lie
    together in memory, which makes minibatches fast. Images become inputs (pixels, N) in [0, 1].
    """
    inputs = {}
    if data.fine_tuned:
        tensors, origin = read_tensors(path, IMAGE_TENSORS)
        for split in ("train", "test"):
            pixels = tensors[f"{split}_images"].flatten(1)
            inputs[split] = pixels.to(dtype).div(255).mT
    else:
        tensors, origin = _joined(path, dtype, data)
        for split in ("train", "test"):
            inputs[split] = tensors[f"{split}_features"].mT
    return labeled_dataset(inputs, tensors, origin)


def _joined(
    folder: Path, dtype: torch.dtype, data: ConvolvedData
) -> tuple[dict[str, Tensor], DataOrigin]:
    """Return the features (N, d) and labels (N,) of both splits, and their origin; one part at a
    time is held twice.

    Raises UserError for a part that is missing, and for one that was computed differently from what
    the settings or the first part say.
    """
    files = {part: folder / part.file for part in data.parts}
    _require_files(folder, files)
    first = files[data.parts[0]]
    origin = read_origin(first)
    made = origin.get(MADE, "nothing")
    needed = _kind(data.convolutions, data.size, data.pool)
    if not made.startswith(f"{needed}, "):
        raise UserError(
            f"{first} holds features by {made}, and the settings need {needed}; name another folder"
        )
    tensors = {}
    for split, count in (("train", data.training_images), ("test", data.test_images)):
        tensors[f"{split}_features"] = torch.empty(count, data.dimension, dtype=dtype)
        tensors[f"{split}_labels"] = torch.empty(count, dtype=torch.uint8)
    for part, file in files.items():
        stored, part_origin = read_tensors(file, [_name(part, "features"), _name(part, "labels")])
        part_made = part_origin.get(MADE)
        if part_made != made:
            raise UserError(
                f"{file} holds features by {part_made}, and {first} by {made}; delete the one that"
                " does not belong there and run again"
            )
        for content in ("features", "labels"):
            tensors[f"{part.split}_{content}"][part.rows] = stored[_name(part, content)]
    return tensors, origin


def _require_files(folder: Path, files: Mapping[Part, Path]) -> None:
    """Require that the file of each part is there."""
    missing = [part.name for part, file in files.items() if not file.is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(files)} parts, the first is {missing[0]}; run"
            f" the workflow again, or compute it with features --part {missing[0]}"
        )


def _name(part: Part, content: str) -> str:
    """Return the name of a tensor, which holds the part's, so that no file is taken for that of
    another part.
    """
    return f"{part.name}_{content}"


def _kind(convolutions: str, size: int, pool: int) -> str:
    return f"{convolutions} at {size} pixels, {pool} x {pool} cells"
