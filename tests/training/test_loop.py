"""Laws of training: the theory in its exact case, trials that do not know of one another, stopping,
divergence.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from conftest import MINIBATCH, MakeJob, measured, refused
from lowrank_dynamics.config.registries import OPTIMIZERS
from lowrank_dynamics.data import fashion_mnist
from lowrank_dynamics.models.subspaces import blocks
from lowrank_dynamics.training.build import dataset, setup_of
from lowrank_dynamics.training.loop import learning_rate, train
from lowrank_dynamics.training.losses import linear_fit_loss


def test_with_the_identity_the_bulk_never_moves(job: MakeJob) -> None:
    """Two linear layers, whitened data, W_2 fixed: blocks 2 to 4 stay at their start to rounding at
    any time.
    """
    two_layers = {"network__depth": 2, "network__train_last_layer": False}
    setup = setup_of(
        job("identity", **two_layers, training__steps=200, training__learning_rate=0.1)
    )
    mlp, (bases,) = setup.mlp, setup.bases
    (initial,), last = (
        [weight.clone() for weight in mlp.hidden_weights],
        mlp.weights[-1].detach().clone(),
    )
    assert {row.quantity for row in train(setup, [])} == {"last_step"}
    change = blocks(mlp.hidden_weights[0] - initial, bases)
    assert torch.equal(mlp.weights[-1], last)
    assert torch.linalg.matrix_norm(change[0]).min() > 1
    for block in change[1:]:
        assert block.abs().max() < 1e-13


GRADIENT = {"observe__loss_gradient": 3}
TWO_LAYERS = {"network__depth": 2, "network__train_last_layer": False}
STOPPING = {"training__steps": 400, "training__stop_near_linear_fit": 0.3, "observe__loss": 5}


@pytest.mark.parametrize(
    ("activation", "parameterization", "changes"),
    [
        *((activation, "full", {}) for activation in ("elu", "gelu", "relu", "rrelu")),
        ("rrelu", "full", {"observe__subspace_reference": 7}),
        ("elu", "s_big", {"network__shares_draw": False, "network__cores": "identity"}),
        ("elu", "s_big", {"network__rank": 8, "network__extra_columns": "image"}),
        *(("rrelu", "full", {**changes, **GRADIENT}) for changes in ({}, MINIBATCH)),
        ("gelu", "full", {**TWO_LAYERS, "observe__constants": 4, "observe__gradient": 4}),
        *(("elu", parameterization, STOPPING) for parameterization in ("s_big", "random")),
        *(
            (activation, "full", {**MINIBATCH, "training__optimizer": optimizer})
            for activation in ("elu", "rrelu")
            for optimizer in OPTIMIZERS
        ),
    ],
)
def test_a_trial_gives_the_same_numbers_alone_as_stacked(
    job: MakeJob, activation: str, parameterization: str, changes: dict[str, Any]
) -> None:
    """Bit for bit, also where trials stop by themselves; so further trials change none of the
    earlier ones.
    """
    stacked = measured(job(activation, parameterization, **changes))
    alone = [
        measured(job(activation, parameterization, range(t, t + 1), **changes)) for t in range(3)
    ]
    assert stacked.keys() == set().union(*alone)
    for key, value in (item for each in alone for item in each.items()):
        assert np.array_equal(value, stacked[key], equal_nan=True), key


def test_heads_share_the_full_networks_draws(job: MakeJob) -> None:
    s_big, random = (setup_of(job("elu", name)) for name in ("s_big", "random"))
    assert torch.equal(s_big.network.last, random.mlp.weights[-1])
    for first, second in zip(s_big.network.cores, random.network.cores, strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(s_big.network.input_factor, random.network.input_factor)


def test_a_trial_stops_near_the_linear_fit_and_stays(job: MakeJob) -> None:
    run = job(training__steps=2000, training__stop_near_linear_fit=0.05)
    rows, train_split = measured(run), dataset(run).train
    losses: dict[int, dict[int, Any]] = {trial: {} for trial in range(3)}
    for (step, quantity, _, trial), value in rows.items():
        if quantity == "train_loss":
            losses[trial][step] = value
    threshold = 1.05 * linear_fit_loss(train_split.inputs, train_split.targets)
    ends = {
        trial: value for (_, quantity, _, trial), value in rows.items() if quantity == "last_step"
    }
    assert ends == {trial: max(by_step) for trial, by_step in losses.items()}
    for trial, by_step in losses.items():
        *before, last = (value for _, value in sorted(by_step.items()))
        assert last <= threshold[trial] < min(before)
        assert max(by_step) < 2000


def test_a_diverged_loss_is_loud(job: MakeJob) -> None:
    with refused(r"small relu-full: .* not finite at step \d+ in trial \d; lower .* 1e\+06"):
        measured(job("relu", training__learning_rate=1e6))


def test_a_trial_that_may_diverge_ends_there(job: MakeJob) -> None:
    """The others go on, with the same numbers."""
    alone = {"observe__singular_structure": None, "observe__block_shares": None}
    may = {"training__may_diverge": True, "training__learning_rate": 1e6, "observe__loss": 1}
    rows = measured(job("relu", **alone, **may))
    losses = [value for (_, quantity, _, _), value in rows.items() if quantity == "train_loss"]
    assert np.isfinite(losses).all()
    ends = {trial: value for (_, name, _, trial), value in rows.items() if name == "last_step"}
    assert ends[1] < ends[0] == ends[2] == 20
    for key, value in measured(job("relu", trials=range(1, 2), **alone, **may)).items():
        assert rows[key] == value


def test_divergence_is_found_before_it_reaches_an_observer(job: MakeJob) -> None:
    with refused("not finite at step"):
        measured(job(training__learning_rate=1e6, observe__loss=20, observe__singular_structure=5))


def test_one_step_is_gradient_descent_to_rounding(job: MakeJob) -> None:
    setup = setup_of(job(training__steps=1))
    expected = setup.mlp.hidden_weights[0] - 0.01 * setup.initial_gradient
    list(train(setup, []))
    torch.testing.assert_close(setup.mlp.hidden_weights[0], expected, rtol=1e-15, atol=1e-15)


def test_a_trial_that_never_comes_near_the_linear_fit_is_told(
    job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        measured(job(training__steps=5, training__stop_near_linear_fit=0.01))
    assert "3 of 3 trials took all 5 steps" in caplog.text


def test_schedules(job: MakeJob) -> None:
    constant, cosine = (
        job(training__schedule=name).cell_settings.training for name in ("constant", "cosine")
    )
    assert [learning_rate(constant, step) for step in (0, 19)] == [0.01, 0.01]
    assert [learning_rate(cosine, step) for step in (0, 10, 20)] == pytest.approx(
        [0.01, 0.005, 0.0]
    )


def test_subspaces_are_compared_with_the_first_iterate_that_has_them(job: MakeJob) -> None:
    """An orthogonal start has none, step 1 is the reference: no movement there, and none is
    reported before.
    """
    rows = measured(job())
    moved = {key: value for key, value in rows.items() if key[1] == "sine_right_middle"}
    assert all(np.isnan(value) for key, value in moved.items() if key[0] == 0)
    assert all(value < 1e-12 for key, value in moved.items() if key[0] == 1)
    assert all(0 < value <= 1 for key, value in moved.items() if key[0] > 1)
    assert {key[0] for key in moved} == {0, 1, 5, 10, 15, 20}


def test_a_later_iterate_may_be_the_reference_of_subspaces(job: MakeJob) -> None:
    """It is measured whenever it is, and what is measured otherwise stays the same."""
    first, later = measured(job()), measured(job(observe__subspace_reference=7))
    moved = {key: value for key, value in later.items() if key[1] == "sine_right_middle"}
    assert all(np.isnan(value) for key, value in moved.items() if key[0] < 7)
    assert all(value < 1e-12 for key, value in moved.items() if key[0] == 7)
    assert all(0 < value <= 1 for key, value in moved.items() if key[0] > 7)
    assert {key[0] for key in moved} == {0, 5, 7, 10, 15, 20}
    for key, value in first.items():
        if key[1] in ("singular_value", "train_loss") and key[0] != 1:
            assert np.array_equal(value, later[key])


def test_the_gaps_are_measured_with_the_singular_values_and_at_the_reference(job: MakeJob) -> None:
    rows = measured(job(observe__subspace_reference=7))
    gaps = {key: value for key, value in rows.items() if key[1] == "subspace_gap"}
    assert {key[0] for key in gaps} == {0, 5, 7, 10, 15, 20}
    for (step, _, layer, trial), (below_top, above_bottom) in gaps.items():
        values = rows[step, "singular_value", layer, trial]
        assert below_top == pytest.approx((values[2] - values[3]) / values[0])
        assert above_bottom == pytest.approx((values[-4] - values[-3]) / values[0])
        if step == 0:
            assert max(below_top, above_bottom) < 1e-9
        if step == 7:
            assert min(below_top, above_bottom) > 1e-9


def test_fashion_mnist_needs_its_prepared_file_and_trains_from_it(
    job: MakeJob, tmp_path: Any
) -> None:
    images = job(
        "elu",
        "s_big",
        range(2),
        data={"source": "fashion_mnist", "training_images": 50, "test_images": 20},
        network__width=784,
        network__rank=20,
        training__steps=2,
        observe={
            "loss": 1,
            "singular_structure": None,
            "block_shares": None,
            "gradient": None,
            "start_eps": [],
        },
        dtype="float32",
    )
    with refused(r"needs results/data/images/fashion_mnist-50-20\.safe.*--data"):
        setup_of(images)
    fashion_mnist.prepare(50, 20, tmp_path / "images.safetensors")
    rows = measured(replace(images, stored=tmp_path / "images.safetensors"))
    assert {key[1] for key in rows} == {
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "last_step",
    }
