"""Where S_big is not defined, an MLP is refused in one sentence that says why."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from conftest import refused
from lowrank_dynamics.models.low_rank import low_rank
from stacks import batch, loss_of, mlp

last, zero, normed = nn.Linear(12, 3), nn.Linear(14, 12), weight_norm(nn.Linear(14, 12))
nn.init.zeros_(zero.weight)


class Shifted(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + 1


def between(module: nn.Module, width: int = 12) -> nn.Sequential:
    return nn.Sequential(nn.Linear(14, 12), module, nn.Linear(width, 12), nn.GELU(), last)


@pytest.mark.parametrize(
    ("model", "rank", "message"),
    [
        (mlp(14, 12, 3), 5, "the rank must be at least 2K = 6, the dimension of S_big; got 5"),
        (mlp(14, 12, 3), 13, "the rank must be at most 12, the smallest width; got 13"),
        (
            mlp(6, 12, 3),
            6,
            r"the theory needs K < d/2, and this MLP has K = 3 outputs and d = 6 inputs",
        ),
        (mlp(14, 3), 6, "needs at least two Linear layers, and Sequential has 1"),
        (
            nn.Sequential(nn.Conv1d(1, 1, 3), mlp(14, 12, 3)),
            6,
            r"module 0 \(Conv1d\) has weights; only",
        ),
        (
            between(nn.BatchNorm1d(12)),
            6,
            "BatchNorm1d after layer 1 does not act on each unit separately",
        ),
        (between(nn.PReLU(12)), 6, "PReLU after layer 1 does not act on each unit separately"),
        (nn.Sequential(nn.LazyLinear(12), last), 6, "a lazy layer of the model has no weights yet"),
        (
            mlp(14, 12, 3, activation=nn.Identity).requires_grad_(False),
            6,
            "the first layer is frozen",
        ),
        (
            nn.Sequential(normed, last),
            6,
            r"module 0 \(ParametrizedLinear\) is computed from other parameters",
        ),
        (nn.Sequential(zero, last), 6, "the first layer's weight is zero"),
        (mlp(14, 12, 3), 8.5, "the rank must be a whole number; got 8.5"),
        (
            nn.Sequential(Shifted(14, 12), last),
            6,
            r"module 0 \(Shifted\) overrides forward, so an ordinary layer cannot replace it",
        ),
        (
            between(nn.LayerNorm(12, elementwise_affine=False)),
            6,
            "LayerNorm after layer 1 does not act on each unit",
        ),
        (
            between(nn.Softmax(dim=1)),
            6,
            "Softmax after layer 1 does not act on each unit separately",
        ),
        (between(nn.GLU()), 6, "GLU after layer 1 does not act on each unit separately"),
        (between(nn.Identity(), width=11), 6, "layer 1 returns 12 numbers, layer 2 takes 11"),
    ],
)
def test_where_the_theory_does_not_apply_it_says_so(
    model: nn.Sequential, rank: Any, message: str
) -> None:
    with refused(message):
        low_rank(model, lambda: torch.zeros(()), rank)


def test_a_class_that_the_loss_or_the_batch_leaves_out_is_told() -> None:
    model = mlp(14, 12, 3)
    inputs, labels = batch(model)
    with refused("the loss does not depend on output 2, so S_big would lack directions"):
        low_rank(model, lambda: model(inputs)[:, :2].square().sum())
    chosen = inputs[labels == 0]
    with pytest.warns(
        UserWarning, match="no sample of the batch is of the class of output 1, 2; take a batch"
    ):
        low_rank(model, lambda: functional.cross_entropy(model(chosen), labels[labels == 0]))


def test_a_layer_that_loses_directions_is_named() -> None:
    model = mlp(14, 12, 12, 3)
    model[2].weight.data[4:] = 0
    with refused("layer 2 maps a subspace of 6 dimensions to one of fewer; take other initial"):
        low_rank(model, loss_of(model))


def test_fewer_samples_than_outputs_are_what_the_refusal_names() -> None:
    """Cross-entropy would give rank K - 1 where activations are linear, whatever the batch."""
    model = mlp(14, 12, 3)
    inputs, _ = batch(model, samples=2)
    with (
        pytest.warns(UserWarning, match="no sample of the batch is of the class of output 2"),
        refused("the gradient has rank below K = 3, only 2, and S_big is not defined; take a"),
    ):
        low_rank(model, lambda: functional.cross_entropy(model(inputs), torch.tensor([0, 1])))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            lambda value: value.square(),
            r"the loss must be a tensor with one value; got one of shape \(40, 3\)",
        ),
        (
            lambda value: value.sum().item(),
            "the loss must be a tensor with one value; got a float",
        ),
        (
            lambda value: value.sum().detach(),
            "the loss has no gradient: recompute it from the model",
        ),
        (
            lambda value: value.sum() * 0,
            "no finite gradient in the first layer, or one that is zero",
        ),
        (lambda value: value[:1].square().sum(), "the gradient has rank below K = 3, only 1"),
    ],
    ids=["not reduced", "a number", "detached", "zero gradient", "one sample"],
)
def test_what_is_no_loss_for_s_big_is_refused(loss: Callable[[Tensor], Any], message: str) -> None:
    model = mlp(14, 12, 3)
    inputs, _ = batch(model)
    with refused(message):
        low_rank(model, lambda: loss(model(inputs)))


def test_a_loss_that_is_no_function_of_the_output_is_refused() -> None:
    model = mlp(14, 12, 3)
    inputs, _ = batch(model)
    with refused("the loss must be a function without arguments that computes it, such as lambda"):
        low_rank(model, model(inputs).square().sum())  # type: ignore[arg-type]
    with refused("the loss does not pass through the last layer"):
        low_rank(model, lambda: model[0](inputs).square().sum())
