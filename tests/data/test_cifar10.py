"""CIFAR-10: its binary layout, what of it is verified, and what is said of a file that is not as it
must be.
"""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import refused
from lowrank_dynamics.data import cifar10, external
from lowrank_dynamics.data.sources import FOLDER_VARIABLE, Folder, RejectedError
from lowrank_dynamics.storage.tensors import read_tensors

RECORDS = 20


def batch(seed: int) -> bytes:
    """Return a binary batch of random images, two of each class."""
    pixels = np.random.default_rng(seed).integers(0, 256, (RECORDS, 3072), dtype=np.uint8)
    labels = np.arange(RECORDS, dtype=np.uint8)[:, None] % 10
    return np.hstack([labels, pixels]).tobytes()


CONTENTS = {file: batch(seed) for seed, file in enumerate(cifar10.FILES)}


def write_archive(path: Path, contents: dict[str, bytes]) -> str:
    """Write an archive like the official one and return its md5."""
    with tarfile.open(path, "w:gz") as archive:
        for file, content in contents.items():
            entry = tarfile.TarInfo(f"{cifar10.FOLDER}/{file}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder, the only source there is, of a data set with fewer images."""
    folder = tmp_path / "own" / "cifar-10"
    folder.mkdir(parents=True)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder.parent))
    monkeypatch.setattr(cifar10, "OFFICIAL", Folder("official address", tmp_path / "nowhere"))
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)
    return folder


def test_the_binary_layout_there_and_back() -> None:
    content = batch(0)
    images, labels = cifar10.decode(content, "file")
    assert images.shape == (RECORDS, 3, 32, 32)
    assert torch.cat([labels.unsqueeze(1), images.flatten(1)], dim=1).numpy().tobytes() == content
    assert (
        images[3, 1, 2, 5] == content[3 * 3073 + 1 + 1024 + 2 * 32 + 5]
    )  # record, label, green, row, column


@pytest.mark.parametrize("length", [0, 1, 3072, 2 * 3073 - 1])
def test_a_truncated_batch_is_refused(length: int) -> None:
    truncated = f"batch is truncated: {length} bytes are not a multiple of 3073"
    with pytest.raises(RejectedError, match=truncated):
        cifar10.decode(batch(0)[:length], "batch")


def test_a_wrong_label_is_refused() -> None:
    content = bytearray(batch(0))
    content[3073 * 4] = 10
    corrupt = "batch is corrupt: the label in record 4 is 10, above 9"
    with pytest.raises(RejectedError, match=corrupt):
        cifar10.decode(bytes(content), "batch")


def test_an_archive_with_the_right_md5_is_verified(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", write_archive(own / cifar10.ARCHIVE, CONTENTS))
    external.fetch("cifar10", tmp_path / "fetched", allow_unverified=False)
    tensors, origin = read_tensors(external.content(tmp_path / "fetched"))
    assert tensors["train_images"].shape == (5 * RECORDS, 3, 32, 32)
    assert tensors["test_labels"].tolist() == [*range(10)] * 2
    assert "unverified" not in origin
    assert cifar10.ARCHIVE_MD5 in origin["cifar-10"]
    cifar10.prepare(30, 10, tmp_path / "images.safetensors", external.content(tmp_path / "fetched"))
    chosen, kept = read_tensors(tmp_path / "images.safetensors")
    assert torch.equal(chosen["train_images"][:20], tensors["train_images"][:20])
    assert torch.bincount(chosen["train_labels"]).tolist() == [3] * 10
    assert kept == origin


@pytest.mark.parametrize("unpacked", [True, False])
def test_what_cannot_be_verified_needs_the_switch_and_says_so(own: Path, unpacked: bool) -> None:
    if unpacked:
        (own / cifar10.FOLDER).mkdir()
        for file, content in CONTENTS.items():
            (own / cifar10.FOLDER / file).write_bytes(content)
    else:
        write_archive(own / cifar10.ARCHIVE, CONTENTS)
    with refused("with allow_unverified_data=true it would be used"):
        cifar10.fetch(allow_unverified=False)
    tensors, origin = cifar10.fetch(allow_unverified=True)
    assert len(tensors["train_images"]) == 5 * RECORDS
    assert origin["unverified"] == "CIFAR-10"
    assert ("no md5 verifies" if unpacked else "has md5") in origin["cifar-10"]
    assert str(own) not in origin["cifar-10"], "provenance names a path of this machine"
    assert hashlib.sha256(b"".join(CONTENTS.values())).hexdigest() in origin["cifar-10"]


def test_a_broken_archive_is_refused_even_with_the_switch(own: Path) -> None:
    path = own / cifar10.ARCHIVE
    write_archive(path, CONTENTS)
    whole = path.read_bytes()
    write_archive(path, {cifar10.TEST_FILE: b""})
    lacking = path.read_bytes()
    for content in (whole[:-5000], whole[:200] + b"\xff" * 200 + whole[400:], lacking):
        path.write_bytes(content)
        with refused("is truncated or corrupt"):
            cifar10.fetch(allow_unverified=True)
    write_archive(path, {**CONTENTS, cifar10.TEST_FILE: CONTENTS[cifar10.TEST_FILE][:-3073]})
    with refused(r"test_batch\.bin has 19 images, expected 20"):
        cifar10.fetch(allow_unverified=True)


def test_without_any_source_it_says_where_to_put_the_files(own: Path, tmp_path: Path) -> None:
    own.rmdir()
    external.fetch("cifar10", tmp_path / "fetched", allow_unverified=False)
    reason = external.missing(tmp_path / "fetched")
    assert "no source has CIFAR-10" in reason
    assert (
        f"put {cifar10.ARCHIVE} into a folder cifar-10 and name that folder's parent in"
        f" {FOLDER_VARIABLE}" in reason
    )


def test_a_folder_that_lacks_a_batch_is_named(own: Path) -> None:
    (own / cifar10.FOLDER).mkdir()
    (own / cifar10.FOLDER / cifar10.TEST_FILE).write_bytes(CONTENTS[cifar10.TEST_FILE])
    with refused(r"cannot be read .*data_batch_1\.bin"):
        cifar10.fetch(allow_unverified=True)
