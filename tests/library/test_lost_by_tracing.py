"""For those whose forward does more than compute its output: what a trace would lose is refused,
and what a call would leave behind is not left in the model.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import Watch, low_rank, low_rank_like, merge, subspace_report
from lowrank_dynamics.models.chain import chain_of
from stacks import loss_of, mlp

Step = Callable[[Tensor], object]


class Stepping(nn.Module):
    """An MLP of three layers that does something with the output of the first."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.one, _, self.two, _, self.three = mlp(14, 14, 12, 3)
        self.step = step

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.one(inputs)
        self.step(hidden)
        return self.three(functional.silu(self.two(hidden)))


IN_PLACE: dict[str, Step] = {
    "method": lambda hidden: hidden.relu_(),
    "function": lambda hidden: functional.relu(hidden, inplace=True),
    "of torch": torch.relu_,
    "module": nn.ReLU(inplace=True),
    "residual": lambda hidden: hidden.add_(1).div_(3),
    "out": lambda hidden: torch.add(hidden, 1, out=hidden),
}


@pytest.mark.parametrize("step", IN_PLACE.values(), ids=IN_PLACE)
def test_a_change_in_place_that_a_trace_would_lose_is_refused(step: Step) -> None:
    with refused("changes a tensor in place, by .*, without using the result, which would be lost"):
        chain_of(Stepping(step))


def test_a_monitor_of_the_outputs_is_left_out() -> None:
    mean = torch.zeros(14, dtype=torch.float64)
    model = Stepping(lambda hidden: mean.mul_(0.9).add_(hidden.detach().mean(dim=0)))
    inputs = torch.eye(14, dtype=torch.float64)
    torch.testing.assert_close(merge(model)(inputs), model(inputs))


class Rounded(torch.autograd.Function):
    """As quantized networks pass gradients straight through."""

    @staticmethod
    def forward(_: Any, inputs: Tensor) -> Tensor:
        return inputs.round()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient


class Between(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, _, self.two = mlp(14, 12, 3)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.two(self.function(self.one(inputs)))


def straight_through(inputs: Tensor) -> Tensor:
    return Rounded.apply(inputs)


class Module(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return straight_through(inputs)


def without_gradient(inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return functional.silu(inputs)


def in_half_precision(inputs: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return functional.silu(inputs)


def scaled_at_random(inputs: Tensor) -> Tensor:
    return functional.silu(inputs) * torch.rand(()).item()


def dropped_at_random(inputs: Tensor) -> Tensor:
    return functional.dropout(inputs) if torch.rand(()) < 0.5 else inputs


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (straight_through, r"it applies Rounded, an autograd.Function with its own backward"),
        (without_gradient, "it computes a part under autocast or no_grad, which would be lost"),
        (in_half_precision, "it computes a part under autocast or no_grad, which would be lost"),
        (scaled_at_random, "it draws random numbers outside of any module or function of torch"),
        (dropped_at_random, "it draws random numbers outside of any module or function of torch"),
    ],
)
def test_what_a_trace_would_lose_is_refused(
    function: Callable[[Tensor], Tensor], said: str
) -> None:
    with refused(said):
        chain_of(Between(function))


def test_a_function_with_its_own_backward_may_be_a_module() -> None:
    model = Between(Module())
    small = low_rank(model, loss_of(model))
    loss_of(small)().backward()
    assert small.get_submodule("input_factor").weight.grad.abs().sum() > 0


class Remembering(nn.Module):
    """Counts its calls and keeps what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, _, self.two = mlp(14, 12, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.kept: list[Tensor] = []
        self.last: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        self.last = functional.silu(self.one(inputs))
        self.kept.append(self.last)
        return self.two(self.last)


def test_tracing_leaves_no_trace_in_the_model() -> None:
    model = Remembering()
    state = torch.random.get_rng_state()
    low_rank_like(model)
    merge(model)
    assert (int(model.calls), model.last, model.kept) == (0, None, [])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("use", [low_rank, subspace_report, Watch])
def test_only_the_loss_calls_the_model(use: Any) -> None:
    model = Remembering()
    use(model, loss_of(model))
    assert (int(model.calls), len(model.kept)) == (0, 1)  # buffers are restored, lists are not
    assert isinstance(model.last, Tensor)


ALIKE: dict[str, Callable[[Tensor], Tensor]] = {
    "halves": lambda inputs: torch.cat([inputs[..., :6].relu(), inputs[..., 6:].sin()], dim=-1),
    "by width": lambda inputs: inputs / inputs.shape[-1] ** 0.5,
    "by place": lambda inputs: inputs - inputs[..., 1:2],
    "turned": lambda inputs: inputs.flip((0, 1)),
}


@pytest.mark.parametrize("function", ALIKE.values(), ids=ALIKE)
def test_units_that_are_not_all_alike_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    class Unlike(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, _, self.two, _, self.three = mlp(14, 12, 12, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.three(functional.silu(self.two(function(self.one(inputs)))))

    with refused("after layer 1 does not act on each unit separately"):
        chain_of(Unlike())
