"""The report on a model of your own: its numbers are those of the definitions, and it expects what
the studies saw.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import low_rank, subspace_report
from stacks import batch, loss_of, mlp


def scaled(activation: Callable[[], nn.Module], eps: float, classes: int = 3) -> nn.Sequential:
    """Return an MLP whose first layer is eps times a matrix with orthonormal columns."""
    model = mlp(14, 20, 20, classes, bias=False, activation=activation)
    for layer in (model[0], model[2]):
        nn.init.orthogonal_(layer.weight, eps, generator=torch.Generator().manual_seed(0))
    return model


def test_its_numbers_are_those_of_the_definitions(capsys: pytest.CaptureFixture[str]) -> None:
    model = scaled(nn.SiLU, 0.1)
    loss, (inputs, _) = loss_of(model), batch(model)
    report = subspace_report(model, loss)
    (gradient,) = torch.autograd.grad(loss(), [model[0].weight])
    assert report.singular_values == pytest.approx(torch.linalg.svdvals(gradient).tolist())
    assert (report.classes, report.dimension, report.widths) == (3, 14, (20, 20))
    assert report.conditions == pytest.approx((1, 1))
    before = model[0](inputs).detach().requires_grad_()
    (slope,) = torch.autograd.grad(functional.silu(before).sum(), before)
    assert report.derivative_spread == pytest.approx(
        float((slope - slope.mean()).norm() / slope.norm())
    )
    assert (
        "S_big is                                      to be expected to work\n"
        in capsys.readouterr().out
    )
    assert model.training, "the report changed the model"


def test_the_tail_is_of_the_order_of_eps_where_the_activation_is_smooth() -> None:
    one, tenth = (
        subspace_report(model, loss_of(model))
        for model in (scaled(nn.SiLU, 1e-2), scaled(nn.SiLU, 1e-3))
    )
    assert one.tail == pytest.approx(10 * tenth.tail, rel=0.05)
    assert one.later_spread == tenth.later_spread


@pytest.mark.parametrize(
    ("activation", "eps", "said"),
    [
        (nn.ELU, 0.1, "to be expected to work"),
        (nn.GELU, 0.1, "to be expected to work"),
        (nn.GELU, 10.0, "doubtful: the first gradient is not nearly of rank K"),
        (nn.ReLU, 0.1, "not to be expected to work: the activation is curved too strongly"),
        (nn.Identity, 0.1, "to be expected to work"),
    ],
)
def test_what_it_expects(activation: type[nn.Module], eps: float, said: str) -> None:
    model = scaled(activation, eps)
    assert subspace_report(model, loss_of(model)).expectation.startswith(said)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.SiLU])
def test_an_activation_may_work_in_place(activation: type[nn.Module]) -> None:
    models = scaled(activation, 0.1), scaled(partial(activation, inplace=True), 0.1)
    ordinary, in_place = (subspace_report(model, loss_of(model)) for model in models)
    assert in_place.singular_values == pytest.approx(ordinary.singular_values)
    assert in_place.derivative_spread == pytest.approx(ordinary.derivative_spread)
    assert in_place.later_spread == pytest.approx(ordinary.later_spread)


def test_normalization_of_the_only_hidden_layer_is_no_part_of_the_activation() -> None:
    plain = mlp(14, 20, 3)
    normed = nn.Sequential(plain[0], plain[1], nn.LayerNorm(20, dtype=torch.float64), plain[2])
    one, other = (subspace_report(model, loss_of(model)) for model in (normed, plain))
    assert (one.derivative_spread, one.later_spread) == (
        other.derivative_spread,
        other.later_spread,
    )


@pytest.mark.parametrize(
    ("module", "name"), [(nn.Softmax(dim=1), "Softmax"), (nn.PReLU(20).double(), "PReLU")]
)
def test_anything_else_that_is_no_function_of_each_entry_is_refused(
    module: nn.Module, name: str
) -> None:
    """Left out, its phi' would seem to be constant, as that of the identity is."""
    model = mlp(14, 20, 3, activation=lambda: module)
    with refused(f"^{name} after layer 1 is not one function of every entry, so phi' is not"):
        subspace_report(model, loss_of(model))
    assert low_rank(model, loss_of(model))(batch(model)[0]).shape == (40, 3)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_the_activation_may_follow_a_later_layer(activation: type[nn.Module]) -> None:
    """Of a low-rank network the first layer is V', which none follows."""
    model = scaled(activation, 0.1)
    small = low_rank(model, loss_of(model))
    (inputs, _) = batch(model)
    before = small.core_1(small.input_factor(inputs)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(activation()(before).sum(), before)
    report = subspace_report(small, loss_of(small))
    assert report.later_spread == subspace_report(model, loss_of(model)).later_spread
    assert report.derivative_spread == pytest.approx(
        float((slope - slope.mean()).norm() / slope.norm())
    )


def test_fewer_inputs_than_outputs_have_no_tail() -> None:
    model = mlp(5, 20, 10)
    report = subspace_report(model, loss_of(model))
    assert report.tail == report.beyond_rank == 0
    assert report.expectation.startswith("not to be expected to work: K = 10 is not below d/2")


def test_a_first_layer_of_zeros_is_refused() -> None:
    model = mlp(14, 20, 3)
    model[0].weight.data.zero_()
    with refused("the first layer's weight is zero"):
        subspace_report(model, loss_of(model))


def test_weights_far_from_orthogonal_are_doubtful() -> None:
    model = mlp(14, 14, 14, 3)
    model[0].weight.data *= 0.01
    report = subspace_report(model, loss_of(model))
    assert report.expectation.startswith(
        "doubtful: hidden weights are far from eps times orthonormal columns"
    )


def test_an_activation_with_a_value_at_zero_is_doubtful_from_the_second_layer_on() -> None:
    deep, shallow = scaled(nn.Softplus, 0.1), mlp(14, 20, 3, activation=nn.Softplus)
    nn.init.orthogonal_(shallow[0].weight, 0.1, generator=torch.Generator().manual_seed(0))
    assert subspace_report(deep, loss_of(deep)).expectation == (
        "doubtful: phi(0) = 0.69, and from the second layer on the theory needs 0; subtract it"
    )
    assert subspace_report(shallow, loss_of(shallow)).expectation == "to be expected to work"


def test_it_says_where_a_layer_is_too_narrow_for_low_rank() -> None:
    model = mlp(20, 5, 3)
    assert subspace_report(model, loss_of(model)).expectation.startswith(
        "not to be expected to work: 2K = 6 is above the smallest width, 5"
    )


def test_it_says_where_low_rank_would_refuse() -> None:
    model = scaled(nn.ELU, 0.1, classes=7)
    assert "K = 7 is not below d/2 = 7" in subspace_report(model, loss_of(model)).expectation
    with refused("the theory needs K < d/2"):
        low_rank(model, loss_of(model))


def test_its_picture(tmp_path: Path) -> None:
    model = scaled(nn.ELU, 0.1)
    subspace_report(model, loss_of(model), plot=tmp_path / "decay.png")
    with Image.open(tmp_path / "decay.png") as picture:
        assert picture.width > 300
