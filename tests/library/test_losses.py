"""For those whose loss is not a bare function of the model: what it calls is restored, a compiled
model is called as written, and a loss that defines no gradient is told.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import Watch, low_rank, low_rank_like, subspace_report
from stacks import batch, loss_of, mlp

MODEL = mlp(14, 12, 3)
INPUTS, LABELS = batch(MODEL)


def normalization() -> nn.BatchNorm1d:
    return nn.BatchNorm1d(14, dtype=torch.float64)


def loss_after(before: nn.Module, model: nn.Module = MODEL) -> Tensor:
    return functional.cross_entropy(model(before(INPUTS)), LABELS)


class Trainer:
    def __init__(self, before: nn.Module) -> None:
        self.before = before

    def loss(self) -> Tensor:
        return loss_after(self.before)

    def __call__(self) -> Tensor:
        return self.loss()


class LossModule(nn.Module):
    def __init__(self, before: nn.Module) -> None:
        super().__init__()
        self.before = before

    def forward(self) -> Tensor:
        return loss_after(self.before)


def nested(before: nn.Module) -> Callable[[], Tensor]:
    def loss(model: nn.Module) -> Tensor:
        return loss_after(before, model)

    return lambda: loss(MODEL)


def of_batches(before: nn.Module) -> Callable[[], Tensor]:
    return lambda: sum((loss_after(before) for _ in range(2)), torch.zeros(()))


def with_one_within(before: nn.Module) -> Callable[[], Tensor]:
    def loss() -> Tensor:
        def within() -> Tensor:
            return loss_after(before)

        return within()

    return loss


NORMALIZATION = normalization()


def of_a_global() -> Tensor:
    return torch.stack([loss_after(NORMALIZATION) for _ in range(2)]).sum()


def collected(before: nn.Module) -> Callable[[], Tensor]:
    parts = {"before": before}
    return lambda: loss_after(parts["before"])


LOSSES: dict[str, Callable[[nn.Module], Callable[[], Tensor]]] = {
    "lambda": lambda before: lambda: loss_after(before),
    "function of the model": nested,
    "partial": lambda before: partial(loss_after, before),
    "method": lambda before: Trainer(before).loss,
    "object": Trainer,
    "module": LossModule,
    "generator": of_batches,
    "function within": with_one_within,
    "dictionary": collected,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("use", [low_rank, subspace_report, Watch])
def test_modules_that_the_loss_calls_are_restored(use: Any, loss: Any) -> None:
    before = normalization()
    use(MODEL, loss(before))
    assert int(before.num_batches_tracked) == 0
    assert torch.equal(before.running_mean, torch.zeros(14, dtype=torch.float64))


def test_a_module_that_a_comprehension_names_is_restored() -> None:
    low_rank(MODEL, of_a_global)
    assert int(NORMALIZATION.num_batches_tracked) == 0


def test_a_loss_of_no_module_of_python_is_called() -> None:
    """As one that `exec` defined."""
    before = normalization()
    names: dict[str, Any] = {"loss_after": loss_after, "before": before}
    exec("def loss(): return loss_after(before)", names)
    low_rank(MODEL, names["loss"])
    assert int(before.num_batches_tracked) == 0


def test_buffers_that_do_not_change_are_not_written_to() -> None:
    """Or a backward pass that has saved them would fail."""
    model = nn.Sequential(normalization(), *mlp(14, 12, 3)).eval()
    inputs = INPUTS.clone().requires_grad_()
    loss = functional.cross_entropy(model(inputs), LABELS)
    model.register_buffer("places", torch.arange(5).expand(3, 5))
    subspace_report(model, lambda: functional.cross_entropy(model(INPUTS), LABELS))
    loss.backward()
    assert inputs.grad is not None


def test_a_buffer_that_the_loss_makes_is_removed() -> None:
    model = mlp(14, 12, 3)
    model.register_buffer("mask", None)

    def loss() -> Tensor:
        model.mask = torch.ones(3)
        return functional.cross_entropy(model(INPUTS), LABELS)

    low_rank(model, loss)
    assert model.mask is None


@pytest.mark.parametrize("use", [low_rank, subspace_report, Watch])
def test_a_compiled_model_that_was_called_before_is_called_as_written(use: Any) -> None:
    compiled = torch.compile(mlp(14, 12, 3), backend="eager")
    compiled(INPUTS)
    use(compiled, lambda: functional.cross_entropy(compiled(INPUTS), LABELS))


def test_autocast_is_warned_of() -> None:
    model = mlp(14, 12, 3, dtype=torch.float32)
    inputs = INPUTS.float()

    def loss() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return functional.cross_entropy(model(inputs), LABELS)

    with pytest.warns(UserWarning, match="the loss is computed in torch.bfloat16, as under autoc"):
        low_rank(model, loss)


def test_a_loss_that_was_differentiated_is_told() -> None:
    value = loss_after(nn.Identity())
    value.backward()
    with refused("it must be computed anew when it is called, and not call backward"):
        low_rank(MODEL, lambda: value)


def test_a_loss_that_takes_the_model_is_told() -> None:
    with refused("the loss must be a function without arguments that computes it, such as lambda"):
        low_rank(MODEL, lambda model: loss_after(nn.Identity(), model))  # type: ignore[misc, arg-type]


def test_a_cross_entropy_in_half_precision_is_recognized() -> None:
    """Its sums over outputs are zero up to rounding, which is coarse."""
    model = mlp(32, 48, 4, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(1)
    start = nn.init.orthogonal_(torch.empty(48, 32), generator=generator)
    model[0].weight.data.copy_(0.1 * start)
    inputs = torch.randn(200, 32, generator=generator).bfloat16()
    labels = torch.arange(200) % 4
    report = subspace_report(model, lambda: functional.cross_entropy(model(inputs), labels))
    assert report.balanced


class Mixed(nn.Module):
    """The first layer in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.one, _, self.two, _, self.three = mlp(14, 12, 12, 3, dtype=torch.float32)
        self.one.bfloat16()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.silu(self.one(inputs.bfloat16())).float()
        return self.three(functional.silu(self.two(hidden)))


@pytest.mark.filterwarnings("ignore:the singular values")
def test_each_layer_keeps_its_dtype() -> None:
    model = Mixed()
    small = low_rank(model, lambda: functional.mse_loss(model(INPUTS.float()), LABELS_AS_NUMBERS))
    assert small(INPUTS.float()).dtype == torch.float32
    assert small.get_submodule("core_1").weight.dtype == torch.bfloat16
    assert small.get_submodule("core_2").weight.dtype == torch.float32


LABELS_AS_NUMBERS = functional.one_hot(LABELS, 3).float()


@pytest.mark.parametrize("make", [low_rank_like, lambda model: low_rank(model, loss_of(model))])
def test_a_layer_narrower_than_2k_is_told(make: Any) -> None:
    with refused("the rank must be at most 5, the smallest width; got 6"):
        make(mlp(20, 5, 3))
