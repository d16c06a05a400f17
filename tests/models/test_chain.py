"""An MLP is seen as the same chain however it is written, and what is none is refused with the
place.
"""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import low_rank, merge
from lowrank_dynamics.models.chain import chain_of
from stacks import batch, loss_of, mlp

FUNCTIONS = {
    nn.GELU: functional.gelu,
    nn.SiLU: functional.silu,
    nn.Tanh: torch.tanh,
    nn.ReLU: torch.relu,
}


class Written(nn.Module):
    """The same MLP as a module of one's own, with functions between its layers."""

    def __init__(
        self, sequential: nn.Sequential, activation: type[nn.Module], *, training: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            module for module in sequential if isinstance(module, nn.Linear)
        )
        self.activation = FUNCTIONS[activation]
        self.train(training)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.flatten(1)
        for layer in self.layers[:-1]:
            hidden = functional.dropout(self.activation(layer(hidden)), 0.5, self.training)
        return self.layers[-1](hidden)


def nested(sequential: nn.Sequential, cut: int) -> nn.Sequential:
    modules = list(sequential)
    return nn.Sequential(
        nn.Sequential(*modules[:cut], nn.Sequential()), nn.Sequential(nn.Sequential(*modules[cut:]))
    )


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(9, 20), min_size=2, max_size=4),
    st.sampled_from(list(FUNCTIONS)),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
    st.integers(0, 4),
)
def test_however_it_is_written_the_low_rank_network_is_the_same(
    widths: list[int], activation: type[nn.Module], dtype: torch.dtype, bias: bool, cut: int
) -> None:
    """Bit for bit, and it computes the same."""
    flat = mlp(*widths, 3, bias=bias, activation=activation, dtype=dtype).eval()
    one = low_rank(flat, loss_of(flat), 7)
    inputs, _ = batch(flat)
    for other in (
        nested(flat, cut),
        Written(flat, activation),
        torch.compile(flat, backend="eager"),
    ):
        again = low_rank(other, loss_of(flat), 7)
        assert [tuple(each.shape) for each in again.parameters()] == [
            tuple(each.shape) for each in one.parameters()
        ]
        assert all(
            torch.equal(mine, its)
            for mine, its in zip(one.parameters(), again.parameters(), strict=True)
        )
        assert torch.equal(one(inputs), again(inputs))


def test_dropout_that_is_a_function_follows_the_mode() -> None:
    flat = mlp(14, 12, 12, 3)
    small = low_rank(Written(flat, nn.GELU, training=True), loss_of(flat))
    inputs, _ = batch(flat)
    assert not torch.equal(small(inputs), small(inputs))
    assert torch.equal(small.eval()(inputs), small(inputs))
    kinds = [type(module) for module in small if not isinstance(module, nn.Linear)][1:]
    assert kinds == [nn.GELU, nn.Dropout, nn.GELU, nn.Dropout]


def test_functions_keep_their_options() -> None:
    class Steep(Written):
        def forward(self, inputs: Tensor) -> Tensor:
            first, second = self.layers
            return second(functional.leaky_relu(first(inputs), negative_slope=0.25, inplace=True))

    (kept,) = chain_of(Steep(mlp(14, 12, 3), nn.ReLU)).after[0]
    assert isinstance(kept, nn.LeakyReLU)
    assert (kept.negative_slope, kept.inplace) == (0.25, False)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Sequential(
            nn.BatchNorm1d(16), nn.Linear(16, 20), nn.PReLU(), nn.Linear(20, 12), nn.SiLU()
        )
        self.head.extend([nn.LayerNorm(12), nn.Linear(12, 3)])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def test_a_part_of_a_model_is_put_in_its_place() -> None:
    """In a copy, unless it is asked to be in the model itself; PReLU keeps its slope, normalization
    its statistics.
    """
    torch.manual_seed(0)
    model, images, labels = Classifier(), torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    model(images)
    model.head[2].weight.data.fill_(0.125)
    before = copy.deepcopy(model.state_dict())

    def loss() -> Tensor:
        return functional.cross_entropy(model(images), labels)

    small = low_rank(model, loss, 7, at="head")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [each.weight.item() for each in small.head if isinstance(each, nn.PReLU)] == [0.125]
    assert torch.equal(small.head.before_0.running_mean, model.head[0].running_mean)
    assert small(images).shape == (30, 3)
    small = low_rank(model, loss, 7, at="head")
    assert low_rank(model, loss, 7, at="head", inplace=True) is model
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in small.state_dict().items()
    )


def test_frozen_layers_stay_frozen_if_asked() -> None:
    model = mlp(14, 12, 12, 3)
    model[4].requires_grad_(False)
    small = low_rank(model, loss_of(model), keep_frozen=True)
    frozen = {name for name, parameter in small.named_parameters() if not parameter.requires_grad}
    assert frozen == {"last.weight", "last.bias"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_stays_in_it(dtype: torch.dtype) -> None:
    """The subspaces are found in float64, from the gradient that its precision gives."""
    model = mlp(40, 30, 30, 2, dtype=torch.float32)
    half = copy.deepcopy(model).to(dtype)
    small, exact = low_rank(half, loss_of(half)), low_rank(model, loss_of(model))
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}
    overlap = (
        small.input_factor.weight.detach().double() @ exact.input_factor.weight.detach().double().mT
    )
    assert float(torch.linalg.svdvals(overlap).min()) > 0.95


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(9, 20), min_size=2, max_size=4), st.booleans(), st.integers(6, 9))
def test_merged_factors_compute_the_same_in_two_layers_less(
    widths: list[int], bias: bool, rank: int
) -> None:
    model = mlp(*widths, 3, bias=bias)
    small = low_rank(model, loss_of(model), rank)
    merged = merge(small)
    inputs, _ = batch(model)
    torch.testing.assert_close(merged(inputs), small(inputs), rtol=0, atol=1e-12)
    assert len(chain_of(merged).layers) == len(widths)


def test_a_trained_model_is_warned_of() -> None:
    """And none that was just made, of any shape: their singular values are those of random
    matrices.
    """
    model, generator = mlp(20, 20, 20, 2), torch.Generator().manual_seed(1)
    labels = torch.arange(200) % 2
    inputs = 1.5 * torch.randn(2, 20, generator=generator, dtype=torch.float64)[labels]
    inputs += torch.randn(200, 20, generator=generator, dtype=torch.float64)
    low_rank(model, lambda: functional.cross_entropy(model(inputs), labels))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    with pytest.warns(
        UserWarning, match="as if the model were trained; a low-rank network starts from scratch"
    ):
        low_rank(
            model,
            lambda: functional.mse_loss(model(inputs), torch.zeros(200, 2, dtype=torch.float64)),
        )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(14, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.one(inputs))
        return self.three(hidden + torch.tanh(self.two(hidden)))


class Scaled(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(12))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.three(torch.tanh(self.two(self.scale * torch.tanh(self.one(inputs)))))


class Branching(Residual):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.three(self.one(inputs)) if inputs.sum() > 0 else self.three(self.two(inputs))


class Pair(Residual):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.one(inputs)
        return hidden, self.three(hidden)


class Mean(Residual):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.one(inputs))
        return self.three(torch.tanh(self.two(hidden - hidden.mean(dim=1, keepdim=True))))


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (
        Residual(),
        {},
        r"^add joins one and two: a residual connection or a second input, and an MLP is a chain$",
    ),
    (Scaled(), {}, r"^scale is a weight outside of any layer; .* at=\"classifier\"$"),
    (
        Branching(),
        {},
        r"^the forward of Branching cannot be traced \(.*\); it must not branch on values",
    ),
    (Pair(), {}, r"^the model returns a tuple, and an MLP returns one tensor"),
    (Mean(), {}, r"^tanh, mean, sub after layer 1 does not act on each unit separately"),
    (
        Classifier(),
        {},
        r"^module features.0 \(Conv2d\) has weights; only .* at=\"classifier\"$",
    ),
    (Classifier(), {"at": "tail"}, "^the model has no part 'tail'; its parts are features, head$"),
    (mlp(14, 12, 3), {"inplace": True}, "^inplace replaces a part of the model, which `at` names"),
    (lambda inputs: inputs, {}, "^the model must be an nn.Module; got a function$"),
]


@pytest.mark.parametrize(
    ("model", "options", "said"), REFUSED, ids=lambda each: type(each).__name__
)
def test_what_is_no_chain_is_refused_with_the_place(
    model: Any, options: dict[str, Any], said: str
) -> None:
    with refused(said):
        low_rank(model, lambda: torch.zeros(()), **options)
