"""CIFAR-10 from its binary archive, or from a folder into which that was unpacked."""

import hashlib
import tarfile
from functools import partial
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
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
FILES = (*TRAINING_FILES, TEST_FILE)
RECORDS = 10_000
PIXELS = 3 * 32 * 32
OFFICIAL = Url("official address", "https://www.cs.toronto.edu/~kriz")


def fetch(*, allow_unverified: bool) -> tuple[dict[str, Tensor], Origin]:
    """Return all images, uint8 (N, 3, 32, 32), and labels (N,) by split, and where they came from.

    An archive with another md5, and an unpacked folder, which has none, are used only if `allow_unverified`; the origin
    then says so under `unverified`. Raises UserError, which tells what became of each source, if none has the images.
    """
    own = user_folder("cifar-10")
    places = [(source, file) for source in own for file in (ARCHIVE, f"{FOLDER}/{TEST_FILE}")]
    places.append((OFFICIAL, ARCHIVE))
    read, remedy = partial(_read, allow_unverified=allow_unverified), f"put {ARCHIVE} into a folder cifar-10"
    (contents, unverified), source = first_accepted("CIFAR-10", places, read, remedy)
    tensors = _tensors(contents)
    if not unverified:
        return tensors, {"cifar-10": f"{source}, archive md5 {ARCHIVE_MD5}"}
    found = hashlib.sha256(b"".join(contents.values())).hexdigest()
    return tensors, {"cifar-10": f"{source}, {unverified}, sha256 {found}", "unverified": "CIFAR-10"}


def prepare(training_images: int, test_images: int, path: Path, fetched: Path | None) -> None:
    """Write the first images of each class of the file `fetched` to one file: uint8, (N, 3, 32, 32), with the origin.

    Raises UserError if no such file is named.
    """
    if fetched is None:
        raise UserError("the images of CIFAR-10 are downloaded first; name the folder that `fetch` wrote with --source")
    tensors, origin = read_tensors(fetched)
    write_tensors(first_images(tensors, training_images, test_images), origin, path)


def decode(content: bytes, file: str) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (n, 3, 32, 32), and the labels (n,) in a binary batch.

    A record is a byte for the label and 3,072 for the pixels, channel by channel. Raises RejectedError for a file that
    does not end with a record, and for an invalid label.
    """
    if not content or len(content) % (PIXELS + 1):
        raise RejectedError(f"{file} is truncated: {len(content)} bytes are no multiple of {PIXELS + 1}")
    records = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(-1, PIXELS + 1).copy())
    labels = records[:, 0]
    if wrong := torch.nonzero(labels > 9).flatten().tolist():
        raise RejectedError(f"{file} is corrupt: the label in record {wrong[0]} is {int(labels[wrong[0]])}, above 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def _read(path: Path, *, allow_unverified: bool) -> tuple[dict[str, bytes], str]:
    """Return the content of each of `FILES`, and why it is not verified, or nothing if it is."""
    is_archive = path.name == ARCHIVE
    problem = _unverified_archive(path) if is_archive else f"{path.parent} is unpacked, so that no md5 vouches for it"
    if problem and not allow_unverified:
        raise RejectedError(f"{problem}; with allow_unverified_data=true it would be used, and be marked everywhere")
    contents = _of_archive(path) if is_archive else {file: (path.parent / file).read_bytes() for file in FILES}
    for file, content in contents.items():
        images, _ = decode(content, str(path.parent / file))
        if len(images) != RECORDS:
            raise RejectedError(f"{path.parent / file} has {len(images)} images, expected {RECORDS}")
    return contents, problem


def _unverified_archive(path: Path) -> str:
    """Return why an archive is not verified; nothing if it is."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    return "" if found == ARCHIVE_MD5 else f"{path} has md5 {found}, expected {ARCHIVE_MD5}"


def _of_archive(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as archive:
            return {file: archive.extractfile(f"{FOLDER}/{file}").read() for file in FILES}  # type: ignore[union-attr]
    except Exception as error:  # a broken archive makes the readers raise anything
        raise RejectedError(f"{path} is truncated or corrupt ({error})") from error


def _tensors(contents: dict[str, bytes]) -> dict[str, Tensor]:
    decoded = {file: decode(content, file) for file, content in contents.items()}
    tensors = {}
    for split, files in (("train", TRAINING_FILES), ("test", (TEST_FILE,))):
        images, labels = zip(*(decoded[file] for file in files), strict=True)
        tensors[f"{split}_images"], tensors[f"{split}_labels"] = torch.cat(images), torch.cat(labels)
    return tensors
