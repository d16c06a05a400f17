"""An MLP of your own made low-rank: laws over shapes, dtypes and ranks."""

import copy
import io
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from conftest import NAME, refused
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.models.big_basis import big_basis
from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.low_rank import low_rank
from lowrank_dynamics.models.subspaces import principal_angles
from lowrank_dynamics.training.build import Job, setup_of
from stacks import batch, loss_of, mlp, of_weights


def compressed(model: nn.Sequential, rank: SupportsIndex | None = None) -> nn.Sequential:
    return low_rank(model, loss_of(model), rank)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw the widths of an MLP that the theory applies to, and a rank."""
    classes = draw(st.integers(1, 4))
    smallest = 2 * classes + 1
    widths = draw(st.lists(st.integers(smallest, 24), min_size=2, max_size=5))
    return [*widths, classes], draw(st.integers(2 * classes, min(widths)))


@settings(max_examples=40, deadline=None)
@given(shapes(), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_an_mlp_of_any_shape_becomes_one_of_any_rank(
    shape: tuple[list[int], int], bias: bool, dtype: torch.dtype
) -> None:
    widths, rank = shape
    model = mlp(*widths, bias=bias, dtype=dtype)
    before = copy.deepcopy(model.state_dict())
    small = compressed(model, rank)
    inputs, _ = batch(model)
    assert small(inputs).shape == model(inputs).shape
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    factor = small.input_factor.weight.detach().double()
    torch.testing.assert_close(
        factor @ factor.mT, torch.eye(rank, dtype=torch.float64), rtol=0, atol=1e-5
    )
    basis = big_basis(chain_of(model), loss_of(model))
    torch.testing.assert_close(factor.mT @ (factor @ basis), basis, rtol=0, atol=1e-5)
    assert (small.output_factor.bias is not None) == bias


@settings(max_examples=25, deadline=None)
@given(shapes())
def test_a_linear_network_is_kept_on_its_subspace(shape: tuple[list[int], int]) -> None:
    widths, rank = shape
    model = mlp(*widths, bias=False, activation=nn.Identity)
    small = compressed(model, rank)
    inputs, _ = batch(model)
    inside = inputs @ small.input_factor.weight.mT @ small.input_factor.weight
    torch.testing.assert_close(small(inputs), model(inside))


def test_at_full_rank_a_linear_network_is_kept_everywhere() -> None:
    model = mlp(9, 12, 10, 3, bias=False, activation=nn.Identity)
    inputs, _ = batch(model)
    torch.testing.assert_close(compressed(model, 9)(inputs), model(inputs))


def test_orthogonal_weights_give_the_factors_of_the_paper(settings: Any) -> None:
    """U and V span what the workflow's low-rank network has, and the cores are eps times an
    orthogonal matrix.
    """
    job = Job(settings(parameterizations=["full", "s_big"]), NAME, Cell("elu", "s_big"), range(1))
    setup = setup_of(job)
    reference = setup.network
    model, data = of_weights(setup.mlp), setup.data.train
    small = low_rank(
        model, lambda: (model(data.inputs[0].mT).mT - data.targets[0]).square().sum() / 2
    )
    for own, factor in (
        (small.input_factor.weight.mT, reference.input_factor[0]),
        (small.output_factor.weight, reference.output_factor[0]),
    ):
        assert float(principal_angles(own.detach(), factor.detach()).max()) < 1e-7
    eps = job.cell_settings.network.eps
    for core in (small.core_1.weight, small.core_2.weight):
        torch.testing.assert_close(core, eps * torch.eye(6, dtype=torch.float64))


@pytest.mark.filterwarnings(
    "ignore:Guards may run slower on Python 3.13.0"
)  # torch's advice to take a later one
def test_it_is_an_ordinary_module(tmp_path: Path) -> None:
    """Saved and loaded, moved to another dtype, compiled, trained."""
    model = mlp(14, 12, 12, 3, dtype=torch.float32)
    small = compressed(model, 8)
    torch.save(small.state_dict(), tmp_path / "small.pt")
    other = compressed(mlp(14, 12, 12, 3, dtype=torch.float32, seed=5), 8)
    other.load_state_dict(torch.load(tmp_path / "small.pt", weights_only=True))
    inputs, labels = batch(model)
    torch.testing.assert_close(other(inputs), small(inputs))
    whole = io.BytesIO()
    torch.save(small, whole)
    assert copy.deepcopy(small).double()(inputs.double()).dtype == torch.float64
    exported = torch.compile(small, backend="eager", fullgraph=True)
    torch.testing.assert_close(exported(inputs), small(inputs))
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = functional.cross_entropy(small(inputs), labels)
    for _ in range(50):
        optimizer.zero_grad()
        functional.cross_entropy(small(inputs), labels).backward()
        optimizer.step()
    assert functional.cross_entropy(small(inputs), labels) < before
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_the_head_of_a_larger_model_is_replaced_in_place() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
            self.head = nn.Sequential(
                nn.Linear(16, 20),
                nn.SiLU(),
                nn.Dropout(0.5),
                nn.Linear(20, 12),
                nn.SiLU(),
                nn.Linear(12, 3),
            )

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.features(images))

    model = Model().eval()
    images, labels = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    model.head = low_rank(
        model.head, lambda: functional.cross_entropy(model(images), labels), rank=7
    )
    assert model(images).shape == (30, 3)
    assert sum(isinstance(module, nn.Dropout) for module in model.head) == 1


def test_normalization_may_stand_where_the_width_is_the_full_one() -> None:
    head = [nn.LayerNorm(12, elementwise_affine=False), nn.Linear(12, 3)]
    model = nn.Sequential(
        nn.Softmax(dim=1), nn.Linear(14, 12), nn.RReLU(), nn.Linear(12, 12), nn.GELU(), *head
    )
    assert compressed(model.double(), 7)(batch(model)[0]).shape == (40, 3)


def test_the_one_call_of_the_loss_leaves_no_trace() -> None:
    """Neither in the running statistics of the model around the head nor in the random numbers that
    come next.
    """
    features, head = nn.Sequential(nn.BatchNorm1d(14), nn.Dropout(0.5)).double(), mlp(14, 12, 3)
    inputs, labels = batch(head)
    before, state = copy.deepcopy(features.state_dict()), torch.get_rng_state()
    low_rank(head, lambda: functional.cross_entropy(head(features(inputs)), labels))
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    features(inputs)
    assert int(features[0].num_batches_tracked) == 1


def test_the_loss_may_be_a_sum_over_calls_on_single_samples() -> None:
    """With outputs (K,), where a batch has (n, K)."""
    model = mlp(14, 12, 3)
    inputs, labels = batch(model)

    def one_by_one() -> Tensor:
        pairs = zip(inputs, labels, strict=True)
        return sum((functional.cross_entropy(model(x), y) for x, y in pairs), torch.zeros(()))

    def together() -> Tensor:
        return functional.cross_entropy(model(inputs), labels, reduction="sum")

    one, other = (low_rank(model, loss).input_factor.weight for loss in (one_by_one, together))
    assert float(principal_angles(one.detach().mT, other.detach().mT).max()) < 1e-6


@pytest.mark.parametrize("training", [True, False])
def test_normalization_may_follow_the_head(training: bool) -> None:
    """Its running means are restored only after the gradient has gone through it."""
    head, after = mlp(14, 12, 3), nn.BatchNorm1d(3).double().train(training)
    inputs, labels = batch(head)
    before = copy.deepcopy(after.state_dict())
    low_rank(head, lambda: functional.cross_entropy(after(head(inputs)), labels))
    assert all(torch.equal(value, before[name]) for name, value in after.state_dict().items())


def test_an_activation_may_be_used_twice_and_a_layer_may_not() -> None:
    first, again, last, activation = (
        nn.Linear(14, 14),
        nn.Linear(14, 14),
        nn.Linear(14, 3),
        nn.GELU(),
    )
    model = nn.Sequential(first, activation, again, activation, last).double()
    small = compressed(model)
    assert sum(isinstance(module, nn.GELU) for module in small.children()) == 2
    with refused(r"module 0 \(Linear\) is used twice, or shares a weight"):
        chain_of(nn.Sequential(first, activation, first, activation, last))


def test_the_mode_is_kept_and_everything_is_trained() -> None:
    model = mlp(14, 12, 3).eval()
    model[2].requires_grad_(False)
    small = compressed(model)
    assert not any(module.training for module in small.modules())
    assert all(parameter.requires_grad for parameter in small.parameters())
    assert compressed(model.train()).training


def test_the_same_rank_gives_the_same_network() -> None:
    model = mlp(14, 12, 12, 3)
    assert compressed(model, np.int64(9)).input_factor.weight.shape == (9, 14)
    one, other = compressed(model, 9), compressed(model, 9)
    drawn = low_rank(model, loss_of(model), 9, generator=torch.Generator().manual_seed(7))
    assert torch.equal(one.input_factor.weight, other.input_factor.weight)
    assert torch.equal(one.input_factor.weight[:6], drawn.input_factor.weight[:6])
    assert not torch.equal(one.input_factor.weight[6:], drawn.input_factor.weight[6:])
