"""The state of a low-rank model, loaded into modules that are made without a loss or a batch."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import low_rank, low_rank_like
from stacks import batch, loss_of, mlp


class Model(nn.Module):
    """A head that normalizes, pools, drops out, and has an activation as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(14, 14)
        self.head = Head()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(14), nn.Dropout(0.5)
        self.first, self.second, self.last = nn.Linear(14, 12), nn.Linear(12, 10), nn.Linear(10, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.gelu(self.first(self.norm(inputs)))
        return self.last(self.drop(torch.tanh(self.second(hidden))))


INPUTS, LABELS = (
    torch.randn(60, 14, generator=torch.Generator().manual_seed(2)),
    torch.arange(60) % 3,
)


def small_of(model: nn.Module, at: str, rank: Any) -> nn.Module:
    return low_rank(model, lambda: functional.cross_entropy(model(INPUTS), LABELS), rank, at=at)


@pytest.mark.parametrize(
    ("make", "at"),
    [
        (lambda: mlp(14, 12, 12, 3, dtype=torch.float32), ""),
        (lambda: mlp(14, 12, 3, bias=False, dtype=torch.float32), ""),
        (Model, "head"),
    ],
    ids=["an MLP", "without biases", "a head"],
)
@pytest.mark.parametrize("rank", [None, 8, np.int64(9)])
@pytest.mark.parametrize("inplace", [False, True])
def test_a_saved_state_is_loaded(
    make: Callable[[], nn.Module], at: str, rank: Any, inplace: bool
) -> None:
    small = small_of(make(), at, rank).eval()
    other = make()
    like = low_rank_like(other, rank, at=at, inplace=inplace and bool(at))
    assert (like is other) == (inplace and bool(at))
    assert like(INPUTS).isnan().all()
    assert list(like.state_dict()) == list(small.state_dict())
    like.load_state_dict(small.state_dict())
    assert torch.equal(like.eval()(INPUTS), small(INPUTS))
    assert all(parameter.requires_grad for parameter in like.parameters())


def test_a_model_without_values_gives_one() -> None:
    small = small_of(Model(), "head", 8).eval()
    with torch.device("meta"):
        like = low_rank_like(Model(), 8, at="head")
    assert all(parameter.is_meta for parameter in like.parameters())
    like.load_state_dict(small.state_dict(), assign=True)
    assert torch.equal(like.eval()(INPUTS), small(INPUTS))


def test_nothing_is_drawn_and_the_model_and_its_mode_are_kept() -> None:
    model = mlp(14, 12, 12, 3).eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    like = low_rank_like(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not like.training
    assert like.input_factor.weight.dtype == torch.float64
    assert torch.equal(like.last.weight, model[-1].weight)


@pytest.mark.parametrize(
    ("widths", "rank", "at", "message"),
    [
        ((14, 12, 3), 5, "", "the rank must be at least 2K = 6, the dimension of S_big; got 5"),
        ((14, 12, 3), 13, "", "the rank must be at most 12, the smallest width; got 13"),
        ((14, 12, 3), 8.5, "", "the rank must be a whole number; got 8.5"),
        ((6, 12, 3), 6, "", "the theory needs K < d/2"),
        ((14, 3), 6, "", "an MLP needs at least two Linear layers"),
        ((14, 12, 3), 6, "head", "the model has no part 'head'"),
    ],
)
def test_it_refuses_what_low_rank_refuses(
    widths: tuple[int, ...], rank: Any, at: str, message: str
) -> None:
    model = mlp(*widths)
    with refused(message):
        low_rank_like(model, rank, at=at)
    with refused(message):
        low_rank(model, loss_of(model) if len(widths) > 2 else lambda: batch(model)[0], rank, at=at)


def test_a_whole_model_is_not_replaced_in_place() -> None:
    with refused("inplace replaces a part of the model"):
        low_rank_like(mlp(14, 12, 3), 6, inplace=True)
