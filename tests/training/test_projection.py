"""Training inside a block of each hidden layer, or outside of it: laws of the projection."""

from typing import Any

import pytest
import torch

from conftest import MakeJob, measured, rows_of
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.build import setup_of
from lowrank_dynamics.training.loop import train
from lowrank_dynamics.training.projection import Projection, first_blocks

SHARES = {"observe__block_shares": 1}


def last(rows: list[Measurement], quantity: str, layer: int) -> torch.Tensor:
    values = [row.values for row in rows if (row.quantity, row.layer) == (quantity, layer)]
    return torch.as_tensor(values[-1])


@pytest.mark.parametrize(("project", "share"), [("inside", 1.0), ("outside", 0.0)])
def test_the_change_stays_where_it_may(job: MakeJob, project: str, share: float) -> None:
    rows = list(rows_of(job("elu", "full", training__project=project, **SHARES)))
    for layer in (1, 2):
        first_block = last(rows, "block_share", layer)[:, 0]
        torch.testing.assert_close(first_block, torch.full_like(first_block, share))


def test_frozen_layers_stay_and_the_last_one_is_trained(job: MakeJob) -> None:
    setup = setup_of(job("elu", "full", training__project="frozen"))
    *hidden, last_layer = [weight.detach().clone() for weight in setup.mlp.weights]
    list(train(setup, []))
    *trained, trained_last = setup.mlp.weights
    for before, after in zip(hidden, trained, strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(last_layer, trained_last)


def test_both_parts_are_the_whole(job: MakeJob) -> None:
    setup = setup_of(job("gelu", "full"))
    gradients = [torch.randn_like(weight) for weight in setup.mlp.weights]
    blocks = first_blocks(setup.bases)
    inside = Projection("inside", blocks, None, 6).of(0, gradients)
    outside = Projection("outside", blocks, None, 6).of(0, gradients)
    for part, rest, whole in zip(inside[:-1], outside[:-1], gradients[:-1], strict=True):
        torch.testing.assert_close(part + rest, whole)
        torch.testing.assert_close(
            (part * rest).sum(), torch.zeros(()).to(whole), atol=1e-9, rtol=0
        )
    assert inside[-1] is gradients[-1]


def test_the_gradients_block_is_taken_anew(job: MakeJob) -> None:
    """It has the best approximation of that rank, until the next time."""
    setup = setup_of(job("gelu", "full"))
    projection = Projection("inside", [], renew_every=5, rank=6)
    first, second = [[torch.randn_like(weight) for weight in setup.mlp.weights] for _ in range(2)]
    for step, gradients, anew in ((0, first, first), (4, second, first), (5, second, second)):
        taken = projection.of(step, gradients)[0]
        left, _, right_t = torch.linalg.svd(anew[0], full_matrices=False)
        left, right_t = left[..., :6], right_t[..., :6, :]
        expected = left @ (left.mT @ gradients[0] @ right_t.mT) @ right_t
        torch.testing.assert_close(taken, expected)


def test_a_diverged_trial_has_no_block(job: MakeJob) -> None:
    """The others go on, with blocks of their own."""
    changes = {"project": "inside", "block": "gradient", "renew_every": 1, "may_diverge": True}
    settings = {f"training__{key}": value for key, value in changes.items()}
    alone = {"observe__singular_structure": None, "observe__block_shares": None}
    rows = measured(job("relu", **settings, **alone, training__learning_rate=100))
    ends = {trial: value for (_, name, _, trial), value in rows.items() if name == "last_step"}
    assert ends[1] < max(ends.values()) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"project": "inside", "optimizer": "adam"}, "project must be null except for gradient_d"),
        ({"project": "inside", "block": "gradient"}, "renew_every must be set for block gradient"),
        ({"project": "inside", "renew_every": 5}, "renew_every must be set for block gradient"),
        ({"block": "random"}, "block must be s_big unless project is inside or outside"),
    ],
)
def test_a_projection_without_meaning_is_refused(
    job: MakeJob, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        job("elu", "full", **{f"training__{key}": value for key, value in changes.items()})


def test_low_rank_networks_have_no_layers_to_project(job: MakeJob) -> None:
    with pytest.raises(ValueError, match=r"training\.project must be null except for the full"):
        job("elu", parameterizations=["full", "s_big"], training__project="inside")
