"""Heads on convolutions: features, S_big from a batch, wider heads, and fine-tuning trial by
trial.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import NAME, measured
from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.parts import Part, part_of
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.data import convolved, fashion_mnist
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.convolutions import (
    DEVIATION,
    MEAN,
    as_input,
    make_convolutions,
    pooled,
)
from lowrank_dynamics.training.build import Job, start_of
from lowrank_dynamics.training.loop import train

CONVOLVED = {
    "source": "convolved",
    "images": "fashion_mnist",
    "training_images": 40,
    "test_images": 20,
    "size": 16,
    "convolutions": "tiny",
    "pool": 3,
}
DATA = ConvolvedData.model_validate(CONVOLVED | {"fine_tuned": False})
PARTS = DATA.parts
CPU = torch.device("cpu")
ONLY_LOSS = {
    "loss": 2,
    "singular_structure": None,
    "block_shares": None,
    "gradient": None,
    "start_eps": [],
}


def test_the_input_has_the_scale_of_imagenet() -> None:
    images = torch.rand(5, 3, 8, 8)
    torch.testing.assert_close(as_input(images, 8) * DEVIATION + MEAN, images)
    gray = as_input(images[:, :1], 12) * DEVIATION + MEAN
    assert gray.shape == (5, 3, 12, 12)
    torch.testing.assert_close(gray[:, 0], gray[:, 2])


def test_a_single_place_is_repeated_by_pooling() -> None:
    convolutions, inputs = make_convolutions("tiny"), torch.randn(4, 3, 4, 4)
    once = pooled(convolutions, inputs, 1)
    torch.testing.assert_close(pooled(convolutions, inputs, 3), once.repeat_interleave(9, dim=1))


def test_features_depend_neither_on_the_layout_in_memory_nor_on_threads() -> None:
    convolutions = make_convolutions("tiny")
    images = torch.randint(
        0, 256, (150, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = convolved.extract(convolutions, images, size=16, pool=3)
    torch.testing.assert_close(
        expected, pooled(convolutions, as_input(images.unsqueeze(1) / 255, 16), 3)
    )
    torch.set_num_threads(2)
    threaded = convolved.extract(convolutions, images, size=16, pool=3)
    torch.set_num_threads(1)
    last = convolved.extract(
        convolutions.to(memory_format=torch.channels_last), images, size=16, pool=3
    )
    torch.testing.assert_close(threaded, expected)
    torch.testing.assert_close(last, expected)


def write_part(images: Path, part: Part, folder: Path, size: int = 16, pool: int = 3) -> Path:
    convolved.prepare_part(
        images, "tiny", None, folder / part.file, part=part, size=size, pool=pool, device=CPU
    )
    return folder / part.file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fashion_mnist.prepare(40, 20, tmp_path / "images.safetensors")
    return tmp_path / "images.safetensors"


def written(images: Path, data: Any, folder: Path) -> Path:
    for part in data.parts:
        write_part(images, part, folder)
    return folder


@pytest.fixture
def stored_features(images: Path) -> Path:
    return written(images, DATA, images.with_name("features"))


@pytest.fixture
def job(
    settings: Callable[..., Settings], images: Path, stored_features: Path
) -> Callable[..., Job]:
    """Return a function that makes a job of heads, fine-tuned or not, with d = 216 and a hidden
    width below that.
    """
    heads: dict[str, Any] = {
        "network__width": 40,
        "network__rank": 20,
        "network__first_batch": 16,
        "network__last_eps": 0.1,
        "parameterizations": ["full", "s_big", "random"],
        "observe": ONLY_LOSS,
        "dtype": "float32",
        "training__objective": "cross_entropy",
        "training__optimizer": "sgd_momentum",
        "training__batch_size": 16,
        "training__learning_rate": 0.05,
        "training__weight_decay": 5e-4,
        "training__schedule": "cosine",
        "training__steps": 4,
    }

    def make(parameterization: str, trials: range, *, tuned: bool = False, **changes: Any) -> Job:
        chosen = settings(data=CONVOLVED | {"fine_tuned": tuned}, **heads | changes)
        return Job(
            chosen,
            NAME,
            Cell("gelu", parameterization),
            trials,
            images if tuned else stored_features,
        )

    return make


def test_a_file_with_other_data_is_refused(
    job: Callable[..., Job], images: Path, stored_features: Path, tmp_path: Path
) -> None:
    features, tuned = job("full", range(1)), job("full", range(1), tuned=True)
    for wrong, message in (
        (replace(features, stored=images), "lacks 2 of 2 parts, the first is train-0-39"),
        (
            replace(tuned, stored=stored_features / PARTS[0].file),
            "has no train_images, only train-0-39_features",
        ),
    ):
        with pytest.raises(UserError, match=message):
            start_of(wrong)
    fashion_mnist.prepare(50, 20, tmp_path / "more.safetensors")
    with pytest.raises(
        UserError, match=r"training inputs of shape \(784, 50\), and the settings need \(784, 40\)"
    ):
        start_of(replace(tuned, stored=tmp_path / "more.safetensors"))
    with pytest.raises(UserError, match="has no train_images"):
        write_part(stored_features / PARTS[0].file, PARTS[0], tmp_path)
    with pytest.raises(
        UserError, match=r"has 20 test images, numbered from 0; there is no part test-10-29"
    ):
        write_part(images, Part("test", 10, 29), tmp_path)


def test_parts_hold_every_image_once(
    monkeypatch: pytest.MonkeyPatch, images: Path, tmp_path: Path
) -> None:
    """And their features are those of all images together, bit for bit."""
    whole = convolved.load(written(images, DATA, tmp_path / "whole"), torch.float32, DATA)
    monkeypatch.setattr("lowrank_dynamics.config.parts.IMAGES_A_PART", 15)
    assert [part.name for part in DATA.parts] == [
        "train-0-14",
        "train-15-29",
        "train-30-39",
        "test-0-14",
        "test-15-19",
    ]
    assert all(part_of(part.name) == part for part in DATA.parts)
    parts = convolved.load(written(images, DATA, tmp_path / "parts"), torch.float32, DATA)
    for one, other in ((whole.train, parts.train), (whole.test, parts.test)):
        assert one is not None
        assert other is not None
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
    assert whole.origin == parts.origin


def test_a_part_of_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    job: Callable[..., Job],
    images: Path,
    stored_features: Path,
    tmp_path: Path,
) -> None:
    first, last = PARTS
    features = job("full", range(1))
    for part in (first, last):
        write_part(images, part, tmp_path / "smaller", size=8)
    with pytest.raises(
        UserError,
        match=r"holds features by tiny at 8 pixels, .* the settings need tiny at 16 pixels",
    ):
        start_of(replace(features, stored=tmp_path / "smaller"))
    write_part(images, last, stored_features, size=8)
    both = (
        r"test-0-19.safetensors holds features by tiny at 8 pixels, .*train-0-39.safetensors by"
        r" tiny at 16 pixels"
    )
    with pytest.raises(UserError, match=both):
        start_of(features)
    write_part(images, last, stored_features, pool=1)
    with pytest.raises(UserError, match=r"16 pixels, 1 x 1 cells, .* 16 pixels, 3 x 3 cells"):
        start_of(features)
    fashion_mnist.prepare(50, 20, tmp_path / "others.safetensors")
    write_part(tmp_path / "others.safetensors", last, stored_features)
    with pytest.raises(
        UserError,
        match=r"of images sha256 .* of images sha256 .* delete the one that does not belong",
    ):
        start_of(features)
    monkeypatch.setattr("lowrank_dynamics.data.convolved.code_sha256", lambda _: "changed")
    write_part(images, last, stored_features)
    with pytest.raises(
        UserError, match=r"by code sha256 changed, and .* by code sha256 [0-9a-f]{64}"
    ):
        start_of(features)


def test_a_missing_part_is_named(job: Callable[..., Job], stored_features: Path) -> None:
    (stored_features / PARTS[1].file).unlink()
    with pytest.raises(
        UserError, match="lacks 1 of 2 parts, the first is test-0-19; run the workflow again"
    ):
        start_of(job("full", range(1)))


def test_a_part_under_another_s_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, images: Path, job: Callable[..., Job], tmp_path: Path
) -> None:
    monkeypatch.setattr("lowrank_dynamics.config.parts.IMAGES_A_PART", 20)
    features = job("full", range(1))
    data = features.experiment.data
    folder = written(images, data, tmp_path / "parts")
    (folder / "train-0-19.safetensors").replace(folder / "train-20-39.safetensors")
    write_part(images, data.parts[0], folder)
    with pytest.raises(
        UserError,
        match=r"train-20-39.safetensors has no train-20-39_features, only train-0-19_feat",
    ):
        start_of(replace(features, stored=folder))


@pytest.mark.parametrize(
    "name", ["train", "train-0", "train-5-4", "valid-0-1", "train-0-x", "train--1"]
)
def test_a_name_of_no_part(name: str) -> None:
    with pytest.raises(UserError, match=f"such as train-0-1999, and not {name!r}"):
        part_of(name)


def test_a_disk_that_fills_up_loses_one_part(
    monkeypatch: pytest.MonkeyPatch, images: Path, stored_features: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in stored_features.iterdir()}
    monkeypatch.setattr("lowrank_dynamics.storage.tensors.save_file", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_part(images, Part("test", 0, 9), stored_features)
    assert {path.name: path.read_bytes() for path in stored_features.iterdir()} == before


@pytest.mark.parametrize(
    ("parameterization", "tuned"),
    [("full", False), ("s_big", False), ("random", False), ("full", True)],
)
def test_heads_and_full_models_train_trial_by_trial(
    job: Callable[..., Job], parameterization: str, tuned: bool
) -> None:
    stacked = measured(job(parameterization, range(3), tuned=tuned))
    alone = measured(job(parameterization, range(1, 2), tuned=tuned))
    assert {key[1] for key in stacked} == {
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "last_step",
    }
    assert all(np.array_equal(value, stacked[key]) for key, value in alone.items())
    start = [
        value
        for (step, quantity, *_), value in stacked.items()
        if step == 0 and quantity == "test_loss"
    ]
    assert np.array(start) == pytest.approx(np.log(10), rel=1e-2)


def test_without_a_file_a_head_says_what_it_needs(job: Callable[..., Job]) -> None:
    message = r"small needs .*features/.*-40-20-tiny-16-3; name it: --data"
    with pytest.raises(UserError, match=message):
        measured(replace(job("full", range(1)), stored=None))


def test_a_batch_of_each_trials_own_defines_s_big(job: Callable[..., Job]) -> None:
    """And a wider head keeps it: its first 2K columns are those of the narrow one."""
    jobs = [job("s_big", range(2), network__rank=rank) for rank in (20, 30)]
    narrow, wide = (start_of(job).network for job in jobs)
    torch.testing.assert_close(wide.input_factor[..., :20], narrow.input_factor)
    torch.testing.assert_close(wide.output_factor[..., :20], narrow.output_factor)
    gram = wide.input_factor.mT @ wide.input_factor
    torch.testing.assert_close(gram, torch.eye(30).expand_as(gram), atol=1e-5, rtol=0)
    first, second = narrow.input_factor.detach()
    assert torch.linalg.svdvals(first.mT @ second).min() < 0.99


@pytest.mark.parametrize("parameterization", ["full", "s_big"])
def test_the_full_model_starts_as_a_head_on_features(
    job: Callable[..., Job], parameterization: str
) -> None:
    head, whole = (
        measured(job(parameterization, range(2), tuned=tuned)) for tuned in (False, True)
    )
    for key, value in head.items():
        if key[0] == 0:
            assert whole[key] == pytest.approx(value, rel=1e-5)


def test_a_full_model_that_takes_a_few_images_at_a_time_trains_as_one_that_takes_all(
    job: Callable[..., Job],
) -> None:
    whole, chunked = (
        measured(job("full", range(2), tuned=True, samples_at_once=size)) for size in (None, 7)
    )
    assert whole.keys() == chunked.keys()
    for key, value in whole.items():
        assert chunked[key] == pytest.approx(value, rel=1e-4), key


def test_the_convolutions_are_trained(job: Callable[..., Job]) -> None:
    start = start_of(job("full", range(2), tuned=True))
    at_start = [copy.detach().clone() for copy in start.network.copies]
    list(train(start, []))
    for before, after in zip(at_start, start.network.copies, strict=True):
        assert not torch.equal(before[0], after[0])
        assert not torch.equal(after[0], after[1])


def test_mixed_precision_is_close(job: Callable[..., Job]) -> None:
    exact, mixed = (
        measured(job("full", range(1), tuned=True, training__mixed_precision=mixed))
        for mixed in (False, True)
    )
    for key, value in exact.items():
        if key[1] == "test_loss":
            assert mixed[key] == pytest.approx(value, rel=1e-2)
    assert exact != mixed
