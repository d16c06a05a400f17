"""Fashion-MNIST: its verified files, and the choice of images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.data.dataset import first_images
from lowrank_dynamics.data.sources import Folder, Source, Url, load_verified, user_folder
from lowrank_dynamics.storage.tensors import DataOrigin, write_tensors

FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
SAMPLE_FOLDER = Path(__file__).parent / "fashion-mnist-sample"
SAMPLE_SIZE = (5_000, 2_000)
"""Training images and test images."""


@dataclass(frozen=True)
class Edition:
    """One edition of the images: the sha256 of each decompressed file in the order of `FILES`, and
    where to find it.
    """

    name: str
    digests: tuple[str, str, str, str]
    places: tuple[Source, ...]


FULL = Edition(
    name="full",
    digests=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    places=(
        Folder("Debian package dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")),
        Url("official address", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
    ),
)

SAMPLE = Edition(
    name="sample",
    digests=(
        "444ed5f7ce17397f236f5eba17dd507d3f6912f04edd3e4f1701cdf82f2cc0c5",
        "35d691216f65485d010cc635af5574a9dc04aa5060de9be64ab6e5cb5ead38e9",
        "15a92dd1e9b16ea361928086e77df4dfa890c255c00b5a8c8162c1040ce8eef1",
        "234596aeb6eb48133ec99a62541f90bc0728c9559a681f1e0638037462458f2c",
    ),
    places=(Folder("embedded sample", SAMPLE_FOLDER),),
)


def decode_idx(content: bytes) -> Tensor:
    """Return the uint8 tensor in an IDX file of bytes: images (N, rows, columns) or labels (N,)."""
    axes = content[3]
    header = 4 + 4 * axes
    shape = np.frombuffer(content[4:header], dtype=">u4").tolist()
    values = np.frombuffer(content, dtype=np.uint8, offset=header)
    return torch.from_numpy(values.reshape(shape).copy())


def select(
    edition: Edition, training_images: int, test_images: int
) -> tuple[dict[str, Tensor], DataOrigin]:
    """Return the first images of each class, in file order, as uint8 tensors by name, and where
    each file came from.
    """
    sources = list(edition.places)
    if edition is FULL:
        sources = user_folder("fashion-mnist") + sources
    origin = {"edition": edition.name}
    tensors = {}
    for (name, file), digest in zip(FILES.items(), edition.digests, strict=True):
        content, place = load_verified(file, digest, sources, "fashion-mnist")
        tensors[name] = decode_idx(content)
        origin[file] = f"{place}, sha256 {digest}"
    return first_images(tensors, training_images, test_images), origin


def prepare(training_images: int, test_images: int, path: Path, _: Path | None = None) -> None:
    """Write the first images of each class to one file: uint8, (N, 28, 28), with their origin.

    They are from the embedded sample if it has enough, which are the same images, else from the
    first source of the full edition.
    """
    enough = training_images <= SAMPLE_SIZE[0] and test_images <= SAMPLE_SIZE[1]
    edition = SAMPLE if enough else FULL
    tensors, origin = select(edition, training_images, test_images)
    write_tensors(tensors, origin, path)
