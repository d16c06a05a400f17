"""Heads on convolutions: features, S_big from a batch, wider heads, fine-tuning trial by trial."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import NAME, MakeJob, measured, refused
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.parts import Part
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.data import convolved, fashion_mnist
from lowrank_dynamics.models.convolutions import (
    DEVIATION,
    MEAN,
    as_input,
    make_convolutions,
    pooled,
)
from lowrank_dynamics.training.build import Job, setup_of
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
"""Features have d = 216."""
DATA = ConvolvedData.model_validate(CONVOLVED | {"fine_tuned": False})
TRAIN, TEST = DATA.parts
HEADS: dict[str, Any] = {
    "network__width": 40,
    "network__rank": 20,
    "network__first_batch": 16,
    "network__last_eps": 0.1,
    "parameterizations": ["full", "s_big", "random"],
    "observe__loss": 2,
    "observe__singular_structure": None,
    "observe__block_shares": None,
    "dtype": "float32",
    "training__objective": "cross_entropy",
    "training__optimizer": "sgd_momentum",
    "training__batch_size": 16,
    "training__learning_rate": 0.05,
    "training__weight_decay": 5e-4,
    "training__schedule": "cosine",
    "training__steps": 4,
}
QUANTITIES = {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "last_step"}


def write_part(images: Path, folder: Path, part: Part, size: int = 16, pool: int = 3) -> None:
    file, cpu = folder / part.file, torch.device("cpu")
    convolved.prepare_part(images, "tiny", None, file, part=part, size=size, pool=pool, device=cpu)


def write_parts(images: Path, folder: Path) -> Path:
    for part in DATA.parts:
        write_part(images, folder, part)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fashion_mnist.prepare(40, 20, tmp_path / "images.safetensors")
    return tmp_path / "images.safetensors"


@pytest.fixture
def more_images(tmp_path: Path) -> Path:
    fashion_mnist.prepare(50, 20, tmp_path / "more.safetensors")
    return tmp_path / "more.safetensors"


@pytest.fixture
def stored_features(images: Path) -> Path:
    return write_parts(images, images.with_name("features"))


@pytest.fixture
def job(settings: Callable[..., Settings], images: Path, stored_features: Path) -> MakeJob:
    """Return a function that makes a job of heads, narrower than d, or of full models to tune."""

    def make(
        parameterization: str = "full",
        trials: range = range(1),
        *,
        tuned: bool = False,
        **changes: Any,
    ) -> Job:
        of_job = settings(data=CONVOLVED | {"fine_tuned": tuned}, **HEADS | changes)
        stored = images if tuned else stored_features
        return Job(of_job, NAME, Cell("gelu", parameterization), trials, stored)

    return make


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
    convolutions, generator = make_convolutions("tiny"), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (150, 28, 28), dtype=torch.uint8, generator=generator)
    features = convolved.extract(convolutions, images, size=16, pool=3)
    inputs = as_input(images.unsqueeze(1) / 255, 16)
    torch.testing.assert_close(features, pooled(convolutions, inputs, 3))
    torch.set_num_threads(2)
    threaded = convolved.extract(convolutions, images, size=16, pool=3)
    torch.testing.assert_close(threaded, features)
    torch.set_num_threads(1)
    channels_last = convolutions.to(memory_format=torch.channels_last)
    by_channel = convolved.extract(channels_last, images, size=16, pool=3)
    torch.testing.assert_close(by_channel, features)


def test_a_file_with_other_data_is_refused(
    job: MakeJob, images: Path, more_images: Path, stored_features: Path, tmp_path: Path
) -> None:
    features, tuned = job(), job(tuned=True)
    with refused("lacks 2 of 2 parts, the first is train-0-39"):
        setup_of(replace(features, stored=images))
    with refused("has no train_images, only train-0-39_features"):
        setup_of(replace(tuned, stored=stored_features / TRAIN.file))
    with refused(r"training inputs of shape \(784, 50\), and the settings need \(784, 40\)"):
        setup_of(replace(tuned, stored=more_images))
    with refused("has no train_images"):
        write_part(stored_features / TRAIN.file, tmp_path, TRAIN)
    with refused("has 20 test images, numbered from 0; there is no part test-10-29"):
        write_part(images, tmp_path, Part("test", 10, 29))


def test_parts_hold_every_image_once(
    monkeypatch: pytest.MonkeyPatch, images: Path, stored_features: Path, tmp_path: Path
) -> None:
    """And their features are those of all images together, bit for bit."""
    whole = convolved.load(stored_features, torch.float32, DATA)
    monkeypatch.setattr("lowrank_dynamics.config.parts.IMAGES_A_PART", 15)
    names = [part.name for part in DATA.parts]
    assert names == ["train-0-14", "train-15-29", "train-30-39", "test-0-14", "test-15-19"]
    assert tuple(map(Part.named, names)) == DATA.parts
    parts = convolved.load(write_parts(images, tmp_path / "parts"), torch.float32, DATA)
    for one, other in ((whole.train, parts.train), (whole.test, parts.test)):
        assert one is not None
        assert other is not None
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
    assert whole.origin == parts.origin


def test_parts_that_were_all_computed_otherwise_are_refused(
    job: MakeJob, images: Path, tmp_path: Path
) -> None:
    for part in DATA.parts:
        write_part(images, tmp_path / "smaller", part, size=8)
    with refused("holds features by tiny at 8 pixels, .* the settings need tiny at 16 pixels"):
        setup_of(replace(job(), stored=tmp_path / "smaller"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"size": 8},
            r"test-0-19.safetensors holds features by tiny at 8 pixels, "
            r".*train-0-39.safetensors by tiny at 16 pixels",
        ),
        ({"pool": 1}, "16 pixels, 1 x 1 cells, .* 16 pixels, 3 x 3 cells"),
    ],
)
def test_a_part_of_another_kind_than_the_first_is_refused(
    job: MakeJob, images: Path, stored_features: Path, other: dict[str, int], message: str
) -> None:
    write_part(images, stored_features, TEST, **other)
    with refused(message):
        setup_of(job())


def test_a_part_of_other_images_or_by_other_code_than_the_first_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    job: MakeJob,
    images: Path,
    more_images: Path,
    stored_features: Path,
) -> None:
    write_part(more_images, stored_features, TEST)
    with refused("of images sha256 .* of images sha256 .* delete the one that does not belong"):
        setup_of(job())
    monkeypatch.setattr("lowrank_dynamics.data.convolved.code_sha256", lambda _: "changed")
    write_part(images, stored_features, TEST)
    with refused("by code sha256 changed, and .* by code sha256 [0-9a-f]{64}"):
        setup_of(job())


def test_a_missing_part_is_named(job: MakeJob, stored_features: Path) -> None:
    (stored_features / TEST.file).unlink()
    with refused("lacks 1 of 2 parts, the first is test-0-19; run the workflow again"):
        setup_of(job())


def test_a_part_under_the_name_of_another_is_refused(
    monkeypatch: pytest.MonkeyPatch, images: Path, job: MakeJob, tmp_path: Path
) -> None:
    monkeypatch.setattr("lowrank_dynamics.config.parts.IMAGES_A_PART", 20)
    folder = write_parts(images, tmp_path / "parts")
    shutil.copy(folder / "train-0-19.safetensors", folder / "train-20-39.safetensors")
    with refused("train-20-39.safetensors has no train-20-39_features, only train-0-19_feat"):
        setup_of(replace(job(), stored=folder))


@pytest.mark.parametrize(
    "name", ["train", "train-0", "train-5-4", "valid-0-1", "train-0-x", "train--1"]
)
def test_a_name_of_no_part(name: str) -> None:
    with refused(f"such as train-0-1999, and not {name!r}"):
        Part.named(name)


def test_a_disk_that_fills_up_loses_one_part(
    monkeypatch: pytest.MonkeyPatch, images: Path, stored_features: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in stored_features.iterdir()}
    monkeypatch.setattr("lowrank_dynamics.storage.tensors.save_file", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_part(images, stored_features, Part("test", 0, 9))
    assert {path.name: path.read_bytes() for path in stored_features.iterdir()} == before


@pytest.mark.parametrize(
    ("parameterization", "tuned"),
    [("full", False), ("s_big", False), ("random", False), ("full", True)],
)
def test_heads_and_full_models_train_trial_by_trial(
    job: MakeJob, parameterization: str, tuned: bool
) -> None:
    stacked = measured(job(parameterization, range(3), tuned=tuned))
    assert {quantity for _, quantity, _, _ in stacked} == QUANTITIES
    for trial in range(3):
        assert stacked[0, "test_loss", 0, trial] == pytest.approx(np.log(10), rel=1e-2)
    for key, value in measured(job(parameterization, range(1, 2), tuned=tuned)).items():
        assert np.array_equal(value, stacked[key])


def test_without_a_file_a_head_says_what_it_needs(job: MakeJob) -> None:
    with refused(r"small needs .*features/.*-40-20-tiny-16-3; name it: --data"):
        measured(replace(job(), stored=None))


def test_a_batch_of_each_trials_own_defines_s_big(job: MakeJob) -> None:
    """And a wider head keeps it: its first 2K columns are those of the narrow one."""
    narrow = setup_of(job("s_big", range(2), network__rank=20)).network
    wide = setup_of(job("s_big", range(2), network__rank=30)).network
    torch.testing.assert_close(wide.input_factor[..., :20], narrow.input_factor)
    torch.testing.assert_close(wide.output_factor[..., :20], narrow.output_factor)
    gram = wide.input_factor.mT @ wide.input_factor
    torch.testing.assert_close(gram, torch.eye(30).expand_as(gram), atol=1e-5, rtol=0)
    first, second = narrow.input_factor.detach()
    assert torch.linalg.svdvals(first.mT @ second).min() < 0.99


@pytest.mark.parametrize("parameterization", ["full", "s_big"])
def test_the_full_model_starts_as_a_head_on_features(job: MakeJob, parameterization: str) -> None:
    head = measured(job(parameterization, range(2)))
    whole = measured(job(parameterization, range(2), tuned=True))
    for (step, *place), value in head.items():
        if step == 0:
            assert whole[step, *place] == pytest.approx(value, rel=1e-5)


def test_a_full_model_that_takes_a_few_images_at_a_time_trains_as_one_that_takes_all(
    job: MakeJob,
) -> None:
    whole = measured(job(trials=range(2), tuned=True))
    chunked = measured(job(trials=range(2), tuned=True, samples_at_once=7))
    assert whole.keys() == chunked.keys()
    for key, value in whole.items():
        assert chunked[key] == pytest.approx(value, rel=1e-4), key


def test_the_convolutions_are_trained(job: MakeJob) -> None:
    setup = setup_of(job(trials=range(2), tuned=True))
    initial = [stack.detach().clone() for stack in setup.network.copies]
    list(train(setup, []))
    for before, after in zip(initial, setup.network.copies, strict=True):
        assert not torch.equal(before[0], after[0])
        assert not torch.equal(after[0], after[1])


def test_mixed_precision_is_close(job: MakeJob) -> None:
    exact = measured(job(tuned=True))
    mixed = measured(job(tuned=True, training__mixed_precision=True))
    assert exact != mixed
    for key, value in exact.items():
        if key[1] == "test_loss":
            assert mixed[key] == pytest.approx(value, rel=1e-2)
