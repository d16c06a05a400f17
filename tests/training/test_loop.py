"""Laws of training: the theory in its exact case, trials that do not know of one another, stopping, divergence."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from conftest import NAME, measured
from lowrank_dynamics.config.registries import OPTIMIZERS
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.data import fashion_mnist
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.subspaces import blocks
from lowrank_dynamics.training.build import Job, dataset, start_of
from lowrank_dynamics.training.loop import learning_rate, train
from lowrank_dynamics.training.losses import linear_fit_loss


def test_with_the_identity_the_bulk_never_moves(settings: Callable[..., Settings]) -> None:
    """Two linear layers, whitened data, W_2 fixed: blocks 2 to 4 stay at their start to rounding at any time."""
    linear = settings(
        activations=["identity"],
        network__depth=2,
        network__train_last_layer=False,
        training__steps=200,
        training__learning_rate=0.1,
    )
    began = start_of(Job(linear, NAME, Cell("identity", "full"), range(3)))
    mlp, (bases,) = began.mlp, began.bases
    (start,), last = [weight.clone() for weight in mlp.hidden_weights], mlp.weights[-1].detach().clone()
    assert {row.quantity for row in train(began, [])} == {"last_step"}
    change = blocks(mlp.hidden_weights[0] - start, bases)
    assert torch.equal(mlp.weights[-1], last)
    assert torch.linalg.matrix_norm(change[0]).min() > 1
    for block in change[1:]:
        assert block.abs().max() < 1e-13


SMALL_BATCHES = {"data__whitened": False, "training__objective": "cross_entropy", "training__batch_size": 20}
STOPPING = {"training__steps": 400, "training__stop_near_linear_fit": 0.3, "observe__loss": 5}
TRAININGS: list[tuple[str, str, dict[str, Any]]] = [
    *((activation, "full", {}) for activation in ("elu", "gelu", "relu", "rrelu")),
    *(("elu", name, {**STOPPING, "parameterizations": ["s_big", "random"]}) for name in ("s_big", "random")),
    *(
        (activation, "full", {**SMALL_BATCHES, "training__optimizer": optimizer})
        for activation in ("elu", "rrelu")
        for optimizer in OPTIMIZERS
    ),
]


@pytest.mark.parametrize(("activation", "parameterization", "changes"), TRAININGS)
def test_a_trial_gives_the_same_numbers_alone_as_stacked(
    settings: Callable[..., Settings], activation: str, parameterization: str, changes: dict[str, Any]
) -> None:
    """Bit for bit, also where trials stop by themselves; so further trials change none of the earlier ones."""
    small, cell = settings(**changes), Cell(activation, parameterization)
    stacked = measured(Job(small, NAME, cell, range(3)))
    alone = {key: value for t in range(3) for key, value in measured(Job(small, NAME, cell, range(t, t + 1))).items()}
    assert stacked.keys() == alone.keys()
    for key, value in alone.items():
        assert np.array_equal(value, stacked[key], equal_nan=True), key


def test_heads_share_the_full_networks_draws(settings: Callable[..., Settings]) -> None:
    small = settings(parameterizations=["full", "s_big", "random"])
    starts = {name: start_of(Job(small, NAME, Cell("elu", name), range(3))) for name in ("s_big", "random")}
    low_rank = {name: start.network for name, start in starts.items()}
    assert torch.equal(low_rank["s_big"].last, starts["random"].mlp.weights[-1])
    for first, second in zip(low_rank["s_big"].cores, low_rank["random"].cores, strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(low_rank["s_big"].input_factor, low_rank["random"].input_factor)


def test_a_trial_stops_near_the_linear_fit_and_stays(settings: Callable[..., Settings]) -> None:
    small = settings(training__steps=2000, training__stop_near_linear_fit=0.05)
    run = Job(small, NAME, Cell("elu", "full"), range(3))
    losses: dict[int, dict[int, Any]] = {trial: {} for trial in range(3)}
    for (step, quantity, _, trial), value in measured(run).items():
        if quantity == "train_loss":
            losses[trial][step] = value
    train_split = dataset(run).train
    threshold = 1.05 * linear_fit_loss(train_split.inputs, train_split.targets)
    ends = {trial: value for (_, quantity, _, trial), value in measured(run).items() if quantity == "last_step"}
    assert ends == {trial: max(by_step) for trial, by_step in losses.items()}
    for trial, by_step in losses.items():
        *before, last = (value for _, value in sorted(by_step.items()))
        assert last <= threshold[trial] < min(before)
        assert max(by_step) < 2000


def test_a_diverged_loss_is_loud(settings: Callable[..., Settings]) -> None:
    wild = settings(training__learning_rate=1e6, activations=["relu"])
    with pytest.raises(UserError, match=r"small relu-full: .* not finite at step \d+ in trial \d; lower .* 1e\+06"):
        measured(Job(wild, NAME, Cell("relu", "full"), range(3)))


def test_divergence_is_found_before_it_reaches_an_observer(settings: Callable[..., Settings]) -> None:
    wild = settings(training__learning_rate=1e6, observe__loss=20, observe__singular_structure=5)
    with pytest.raises(UserError, match="not finite at step"):
        measured(Job(wild, NAME, Cell("elu", "full"), range(3)))


def test_one_step_is_gradient_descent_to_rounding(settings: Callable[..., Settings]) -> None:
    began = start_of(Job(settings(training__steps=1), NAME, Cell("elu", "full"), range(3)))
    expected = began.mlp.hidden_weights[0] - 0.01 * began.first_gradient
    list(train(began, []))
    torch.testing.assert_close(began.mlp.hidden_weights[0], expected, rtol=1e-15, atol=1e-15)


def test_a_trial_that_never_comes_near_the_linear_fit_is_told(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    short = settings(training__steps=5, training__stop_near_linear_fit=0.01)
    with caplog.at_level(logging.WARNING):
        measured(Job(short, NAME, Cell("elu", "full"), range(3)))
    assert "3 of 3 trials took all 5 steps" in caplog.text


def test_schedules(settings: Callable[..., Settings]) -> None:
    constant = settings().experiment(NAME).training
    cosine = settings(training__schedule="cosine").experiment(NAME).training
    assert [learning_rate(constant, step) for step in (0, 19)] == [0.01, 0.01]
    assert [learning_rate(cosine, step) for step in (0, 10, 20)] == pytest.approx([0.01, 0.005, 0.0])


def test_subspaces_are_compared_with_the_first_iterate_that_has_them(settings: Callable[..., Settings]) -> None:
    """An orthogonal start has none, step 1 is the reference: no movement there, and none is reported before."""
    rows = measured(Job(settings(), NAME, Cell("elu", "full"), range(3)))
    moved = {key: value for key, value in rows.items() if key[1] == "sine_right_middle"}
    assert all(np.isnan(value) for key, value in moved.items() if key[0] == 0)
    assert all(value < 1e-12 for key, value in moved.items() if key[0] == 1)
    assert all(0 < value <= 1 for key, value in moved.items() if key[0] > 1)
    assert {key[0] for key in moved} == {0, 1, 5, 10, 15, 20}


def test_fashion_mnist_needs_its_prepared_file_and_trains_from_it(
    settings: Callable[..., Settings], tmp_path: Any
) -> None:
    images = settings(
        data={"source": "fashion_mnist", "training_images": 50, "test_images": 20},
        network__width=784,
        network__rank=20,
        parameterizations=["full", "s_big"],
        training__steps=2,
        observe={"loss": 1, "singular_structure": None, "block_shares": None, "gradient": None, "start_eps": []},
        dtype="float32",
        trials=2,
    )
    with pytest.raises(UserError, match=r"needs the file results/data/images/fashion_mnist-50-20\.safe.*--data"):
        start_of(Job(images, NAME, Cell("elu", "s_big"), range(2)))
    fashion_mnist.prepare(50, 20, tmp_path / "images.safetensors")
    rows = measured(Job(images, NAME, Cell("elu", "s_big"), range(2), tmp_path / "images.safetensors"))
    assert {key[1] for key in rows} == {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "last_step"}
