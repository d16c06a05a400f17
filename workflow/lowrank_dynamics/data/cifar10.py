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
from lowrank_dynamics.storage.tensors import DataOrigin, read_tensors, write_tensors

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
TEST_FILE = "test_batch.bin"
FILES = (
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    TEST_FILE,
)
RECORDS = 10_000
PIXELS = 3 * 32 * 32
OFFICIAL = Url("official address", "https://www.cs.toronto.edu/~kriz")


def fetch(*, allow_unverified: bool) -> tuple[dict[str, Tensor], DataOrigin]:
    """Return all images, uint8 (N, 3, 32, 32), and labels (N,) by split, and where they came from.

    An archive with another md5, and an unpacked folder, which has none, are used only if
    `allow_unverified`; the origin then says so under `unverified`. Raises UserError, saying what
    happened to each source, if none has the images.
    """
    of_user = product(user_folder("cifar-10"), (ARCHIVE, f"{FOLDER}/{TEST_FILE}"))
    places = [*of_user, (OFFICIAL, ARCHIVE)]
    read = partial(_read, allow_unverified=allow_unverified)
    remedy = f"put {ARCHIVE} into a folder cifar-10"
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
            f"{file} is truncated: {len(content)} bytes are not a multiple of {PIXELS + 1}"
        )
    by_record = np.frombuffer(content, dtype=np.uint8).reshape(-1, PIXELS + 1)
    records = torch.from_numpy(by_record.copy())
    labels = records[:, 0]
    wrong = torch.nonzero(labels > 9).flatten().tolist()
    if wrong:
        first = wrong[0]
        raise RejectedError(
            f"{file} is corrupt: the label in record {first} is {int(labels[first])}, above 9"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def _read(path: Path, *, allow_unverified: bool) -> tuple[dict[str, Tensor], str, DataOrigin]:
    """Return images and labels by split, the digest that belongs to them, and a mark if they are
    not verified.
    """
    problem = _unverified(path)
    if problem and not allow_unverified:
        raise RejectedError(
            f"{problem}; with allow_unverified_data=true it would be used, and be marked everywhere"
        )
    contents = _contents(path)
    images, labels = [], []
    for file in FILES:
        place = path.parent / file
        batch_images, batch_labels = decode(contents[file], str(place))
        if len(batch_images) != RECORDS:
            raise RejectedError(f"{place} has {len(batch_images)} images, expected {RECORDS}")
        images.append(batch_images)
        labels.append(batch_labels)
    tensors = {
        "train_images": torch.cat(images[:-1]),
        "train_labels": torch.cat(labels[:-1]),
        "test_images": images[-1].contiguous(),
        "test_labels": labels[-1].contiguous(),
    }
    if not problem:
        return tensors, f"archive md5 {ARCHIVE_MD5}", {}
    sha256 = hashlib.sha256(b"".join(contents.values())).hexdigest()
    return tensors, f"{problem}, sha256 {sha256}", {"unverified": "CIFAR-10"}


def _unverified(path: Path) -> str:
    """Return why an archive, or the folder of a file, is not verified; empty if it is."""
    if path.name != ARCHIVE:
        return f"{path.parent.name} is unpacked, so no md5 verifies it"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False))
    md5 = digest.hexdigest()
    return "" if md5 == ARCHIVE_MD5 else f"{path.name} has md5 {md5}, expected {ARCHIVE_MD5}"


def _contents(path: Path) -> dict[str, bytes]:
    """Return the bytes of each of `FILES`, from an archive or from the folder of a file."""
    if path.name != ARCHIVE:
        return {file: (path.parent / file).read_bytes() for file in FILES}
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for file in FILES:
                member = archive.extractfile(f"{FOLDER}/{file}")
                assert member is not None, f"{file} is not a file"
                contents[file] = member.read()
    except Exception as error:  # a broken archive makes the readers raise anything
        raise RejectedError(f"{path} is truncated or corrupt ({error})") from error
    return contents
