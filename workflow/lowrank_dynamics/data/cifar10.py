"""CIFAR-10 from its binary archive, or from a folder into which that was unpacked."""

import hashlib
import tarfile
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.data.dataset import first_images
from lowrank_dynamics.data.sources import RejectedError, Url, first_accepted, user_folder
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.tensors import Origin, read_tensors, write_tensors

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
TEST_FILE = "test_batch.bin"
FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), TEST_FILE)
RECORDS = 10_000
PIXELS = 3 * 32 * 32
OFFICIAL = Url("official address", "https://www.cs.toronto.edu/~kriz")


def fetch(*, allow_unverified: bool) -> tuple[dict[str, Tensor], Origin]:
    """Return all images, uint8 (N, 3, 32, 32), and labels (N,) by split, and where they came from.

    An archive with another md5, and an unpacked folder, which has none, are used only if
    `allow_unverified`; the origin then says so under `unverified`. Raises UserError, saying what
    happened to each source, if none has the images.
    """
    places = [
        *product(user_folder("cifar-10"), (ARCHIVE, f"{FOLDER}/{TEST_FILE}")),
        (OFFICIAL, ARCHIVE),
    ]
    read, remedy = (
        partial(_read, allow_unverified=allow_unverified),
        f"put {ARCHIVE} into a folder cifar-10",
    )
    (tensors, proof, mark), source = first_accepted("CIFAR-10", places, read, remedy)
    return tensors, {"cifar-10": f"{source}, {proof}", **mark}


def prepare(training_images: int, test_images: int, path: Path, fetched: Path | None) -> None:
    """Write the first images of each class in the file `fetched` to `path`. Raises UserError if
    that is None.
    """
    if fetched is None:
        raise UserError(
            "the images of CIFAR-10 are downloaded first; name the folder that `fetch` wrote with"
            " --source"
        )
    tensors, origin = read_tensors(fetched)
    write_tensors(first_images(tensors, training_images, test_images), origin, path)


def decode(content: bytes, file: str) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (n, 3, 32, 32), and the labels (n,) in a binary batch.

    A record is a byte for the label and 3,072 for the pixels, channel by channel. Raises
    RejectedError for a truncated file and for an invalid label.
    """
    if not content or len(content) % (PIXELS + 1):
        raise RejectedError(
            f"{file} is truncated: {len(content)} bytes are no multiple of {PIXELS + 1}"
        )
    records = torch.from_numpy(
        np.frombuffer(content, dtype=np.uint8).reshape(-1, PIXELS + 1).copy()
    )
    labels = records[:, 0]
    if wrong := torch.nonzero(labels > 9).flatten().tolist():
        raise RejectedError(
            f"{file} is corrupt: the label in record {wrong[0]} is {int(labels[wrong[0]])}, above 9"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def _read(path: Path, *, allow_unverified: bool) -> tuple[dict[str, Tensor], str, Origin]:
    """Return images and labels by split, the digest that belongs to them, and a mark if they are
    not verified.
    """
    problem = _unverified(path)
    if problem and not allow_unverified:
        raise RejectedError(
            f"{problem}; with allow_unverified_data=true it would be used, and be marked everywhere"
        )
    contents = _contents(path)
    images, labels = zip(
        *(decode(content, str(path.parent / file)) for file, content in contents.items()),
        strict=True,
    )
    for file, batch in zip(FILES, images, strict=True):
        if len(batch) != RECORDS:
            raise RejectedError(f"{path.parent / file} has {len(batch)} images, expected {RECORDS}")
    tensors = {
        "train_images": torch.cat(images[:-1]),
        "train_labels": torch.cat(labels[:-1]),
        "test_images": images[-1].contiguous(),
        "test_labels": labels[-1].contiguous(),
    }
    if not problem:
        return tensors, f"archive md5 {ARCHIVE_MD5}", {}
    found = hashlib.sha256(b"".join(contents.values())).hexdigest()
    return tensors, f"{problem}, sha256 {found}", {"unverified": "CIFAR-10"}


def _unverified(path: Path) -> str:
    """Return why an archive, or the folder of a file, is not verified; empty if it is."""
    if path.name != ARCHIVE:
        return f"{path.parent} is unpacked, so that no md5 vouches for it"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    return "" if found == ARCHIVE_MD5 else f"{path} has md5 {found}, expected {ARCHIVE_MD5}"


def _contents(path: Path) -> dict[str, bytes]:
    if path.name != ARCHIVE:
        return {file: (path.parent / file).read_bytes() for file in FILES}
    try:
        with tarfile.open(path) as archive:
            return {file: archive.extractfile(f"{FOLDER}/{file}").read() for file in FILES}  # type: ignore[union-attr]
    except Exception as error:  # a broken archive makes the readers raise anything
        raise RejectedError(f"{path} is truncated or corrupt ({error})") from error
