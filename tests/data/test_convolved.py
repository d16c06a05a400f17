"""Heads on convolutions: features, S_big from a batch, wider heads, and fine-tuning trial by trial."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import NAME, measured
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.data import convolved, fashion_mnist
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.convolutions import DEVIATION, MEAN, as_input, make_convolutions, pooled
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
ONLY_LOSS = {"loss": 2, "singular_structure": None, "block_shares": None, "gradient": None, "start_eps": []}


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
    images = torch.randint(0, 256, (150, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = convolved.extract(convolutions, images, size=16, pool=3)
    torch.testing.assert_close(expected, pooled(convolutions, as_input(images.unsqueeze(1) / 255, 16), 3))
    torch.set_num_threads(2)
    threaded = convolved.extract(convolutions, images, size=16, pool=3)
    torch.set_num_threads(1)
    last = convolved.extract(convolutions.to(memory_format=torch.channels_last), images, size=16, pool=3)
    torch.testing.assert_close(threaded, expected)
    torch.testing.assert_close(last, expected)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fashion_mnist.prepare(40, 20, tmp_path / "images.safetensors")
    return tmp_path / "images.safetensors"


@pytest.fixture
def stored_features(images: Path) -> Path:
    path = images.with_name("features.safetensors")
    convolved.prepare_features(images, "tiny", None, path, size=16, pool=3, device=torch.device("cpu"))
    return path


@pytest.fixture
def job(settings: Callable[..., Settings], images: Path, stored_features: Path) -> Callable[..., Job]:
    """Return a function that makes a job of heads, fine-tuned or not, with d = 216 and a hidden width below that."""
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
        return Job(chosen, NAME, Cell("gelu", parameterization), trials, images if tuned else stored_features)

    return make


def test_a_file_with_other_data_is_refused(
    job: Callable[..., Job], images: Path, stored_features: Path, tmp_path: Path
) -> None:
    features, tuned = job("full", range(1)), job("full", range(1), tuned=True)
    for wrong, message in (
        (replace(features, stored=images), "has no train_features, only test_images, test_labels"),
        (replace(tuned, stored=stored_features), "has no train_images, only test_features"),
    ):
        with pytest.raises(UserError, match=message):
            start_of(wrong)
    fashion_mnist.prepare(50, 20, tmp_path / "more.safetensors")
    with pytest.raises(UserError, match=r"training inputs of shape \(784, 50\), and the settings need \(784, 40\)"):
        start_of(replace(tuned, stored=tmp_path / "more.safetensors"))
    cpu = torch.device("cpu")
    with pytest.raises(UserError, match="has no train_images"):
        convolved.prepare_features(stored_features, "tiny", None, tmp_path / "twice", size=16, pool=3, device=cpu)


@pytest.mark.parametrize(
    ("parameterization", "tuned"), [("full", False), ("s_big", False), ("random", False), ("full", True)]
)
def test_heads_and_full_models_train_trial_by_trial(
    job: Callable[..., Job], parameterization: str, tuned: bool
) -> None:
    stacked = measured(job(parameterization, range(3), tuned=tuned))
    alone = measured(job(parameterization, range(1, 2), tuned=tuned))
    assert {key[1] for key in stacked} == {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "last_step"}
    assert all(np.array_equal(value, stacked[key]) for key, value in alone.items())
    start = [value for (step, quantity, *_), value in stacked.items() if step == 0 and quantity == "test_loss"]
    assert np.array(start) == pytest.approx(np.log(10), rel=1e-2)


def test_without_a_file_a_head_says_what_it_needs(job: Callable[..., Job]) -> None:
    message = r"small needs the file .*features/.*-40-20-tiny-16-3\.safetensors; name it: --data"
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
def test_the_full_model_starts_as_a_head_on_features(job: Callable[..., Job], parameterization: str) -> None:
    head, whole = (measured(job(parameterization, range(2), tuned=tuned)) for tuned in (False, True))
    for key, value in head.items():
        if key[0] == 0:
            assert whole[key] == pytest.approx(value, rel=1e-5)


def test_a_full_model_that_takes_a_few_images_at_a_time_trains_as_one_that_takes_all(job: Callable[..., Job]) -> None:
    whole, chunked = (measured(job("full", range(2), tuned=True, samples_at_once=size)) for size in (None, 7))
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
        measured(job("full", range(1), tuned=True, training__mixed_precision=mixed)) for mixed in (False, True)
    )
    for key, value in exact.items():
        if key[1] == "test_loss":
            assert mixed[key] == pytest.approx(value, rel=1e-2)
    assert exact != mixed
