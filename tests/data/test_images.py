"""The data sets: clusters as stated, and no byte of Fashion-MNIST that is not verified."""

import gzip
import hashlib
import logging
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from conftest import refused
from lowrank_dynamics.config.data import ClusterData
from lowrank_dynamics.data import clusters, fashion_mnist, pixels
from lowrank_dynamics.data.dataset import first_of_each_class
from lowrank_dynamics.data.drawn import drawn_dataset, whiten
from lowrank_dynamics.data.sources import (
    FOLDER_VARIABLE,
    Folder,
    PythonPackage,
    Url,
    load_verified,
    user_folder,
)

CONTENT = b"some content " * 50
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_clusters(samples: int, separation: float) -> ClusterData:
    return ClusterData(
        source="clusters",
        dimension=8,
        classes=3,
        samples=samples,
        separation=separation,
        whitened=True,
    )


def test_centers_are_as_far_apart_as_stated() -> None:
    inputs, labels = clusters.draw(of_clusters(300_000, 5.0), generator())
    centers = torch.stack([inputs[:, labels == label].mean(dim=1) for label in range(3)])
    distances = torch.pdist(centers)
    torch.testing.assert_close(
        distances, torch.full((3,), 5.0, dtype=torch.float64), atol=0.02, rtol=0
    )


def test_whitened_inputs_have_identity_second_moment() -> None:
    data = drawn_dataset(of_clusters(50, 4.0), [generator(1), generator(2)]).train
    torch.testing.assert_close(
        data.inputs @ data.inputs.mT, torch.eye(8, dtype=torch.float64).expand(2, 8, 8)
    )
    torch.testing.assert_close(whiten(data.inputs), data.inputs)
    assert data.targets.sum(dim=-2).eq(1).all()


def test_the_first_of_each_class_in_order() -> None:
    labels = torch.tensor([1, 0, 0, 1, 0, 1])
    assert first_of_each_class(labels, 4).tolist() == [0, 1, 2, 3]
    with refused("only 3"):
        first_of_each_class(labels, 8)
    with refused("equally"):
        first_of_each_class(labels, 3)


def test_what_counts_is_the_decoded_content(tmp_path: Path) -> None:
    for name, level in (("a", 1), ("b", 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.gz").write_bytes(gzip.compress(CONTENT, level))
        assert load_verified("file.gz", SHA256, [Folder(name, tmp_path / name)], "files") == (
            CONTENT,
            name,
        )
    (tmp_path / "a" / "file.gz").unlink()
    (tmp_path / "a" / "file").write_bytes(CONTENT)
    assert load_verified("file.gz", SHA256, [Folder("a", tmp_path / "a")], "files") == (
        CONTENT,
        "a",
    )


@pytest.mark.parametrize(
    "broken",
    [
        b"other content",
        gzip.compress(b"other content", mtime=0),
        gzip.compress(CONTENT)[:-20],
        b"\x1f\x8bnonsense",
    ],
    ids=["other", "other, compressed", "truncated", "no gzip"],
)
def test_a_broken_file_is_named_and_the_next_source_serves(
    tmp_path: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, content in ((first, broken), (second, gzip.compress(CONTENT))):
        folder.mkdir()
        (folder / "file.gz").write_bytes(content)
    sources = [Folder("none", tmp_path / "none"), Folder("first", first), Folder("second", second)]
    with caplog.at_level(logging.WARNING):
        assert load_verified("file.gz", SHA256, sources, "files") == (CONTENT, "second")
    assert str(first / "file.gz") in caplog.text
    found = b"other content" if broken == gzip.compress(b"other content", mtime=0) else broken
    assert SHA256 in caplog.text
    assert hashlib.sha256(found).hexdigest() in caplog.text
    with refused(r"no source has file\.gz"):
        load_verified("file.gz", SHA256, sources[:2], "files")


def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Url, "cache", tmp_path)
    (tmp_path / "file.gz").write_bytes(b"a page that asks to log in")
    with refused("no source has file"):
        load_verified("file.gz", SHA256, [Url("address", "http://localhost:9")], "files")
    assert list(tmp_path.iterdir()) == []


class Interrupted(BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half of it")

    def log_message(self, *_: object) -> None:
        pass


def test_a_download_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Url, "cache", tmp_path)
    with HTTPServer(("localhost", 0), Interrupted) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with refused("address: cannot be reached"):
            load_verified(
                "file.gz",
                SHA256,
                [Url("address", f"http://localhost:{server.server_port}")],
                "files",
            )
        server.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_a_package_with_another_digest_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip refuses it before it builds anything, and nothing is kept."""
    index, cache = tmp_path / "index", tmp_path / "cache"
    index.mkdir()
    (index / "parcel-1.0.tar.gz").write_bytes(b"not what it was")
    monkeypatch.setattr(PythonPackage, "cache", cache)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    parcel = PythonPackage("parcel", package="parcel", version="1.0", sha256=SHA256)
    with refused(r"parcel: cannot be reached \(OSError: pip download failed with status 1"):
        load_verified("parcel-1.0.tar.gz", SHA256, [parcel], "files")
    assert list(cache.iterdir()) == []


def test_the_users_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert user_folder("fashion-mnist") == []
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (source,) = user_folder("fashion-mnist")
    assert source == Folder(FOLDER_VARIABLE, tmp_path / "fashion-mnist")


def test_the_embedded_sample_is_what_its_digests_say(tmp_path: Path) -> None:
    path = tmp_path / "images.safetensors"
    fashion_mnist.prepare(5_000, 2_000, path)
    data = pixels.load(path, torch.float32)
    assert data.train.inputs.shape == (784, 5_000)
    assert data.test is not None
    assert torch.bincount(data.train.labels).tolist() == [500] * 10
    assert torch.bincount(data.test.labels).tolist() == [200] * 10
    assert data.train.inputs.double().mean().abs() < 1e-6
    assert data.train.inputs.double().std(correction=0) == pytest.approx(1)
    assert "embedded sample" in data.origin["train-images-idx3-ubyte.gz"]
    before = path.read_bytes()
    fashion_mnist.prepare(5_000, 2_000, path)
    assert path.read_bytes() == before


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="needs the full Fashion-MNIST"
)
def test_the_sample_and_the_full_edition_give_the_same_images() -> None:
    sample, _ = fashion_mnist.select(fashion_mnist.SAMPLE, 1_000, 500)
    full, _ = fashion_mnist.select(fashion_mnist.FULL, 1_000, 500)
    for name, images in sample.items():
        assert torch.equal(images, full[name])


def test_a_broken_prepared_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.safetensors"
    path.write_bytes(b"not safetensors")
    with refused(r"images\.safetensors cannot be read"):
        pixels.load(path, torch.float32)
