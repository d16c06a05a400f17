"""The network against the linear one: derivatives, the Hessian in W_1, and the bounds that
docs/beyond.md derives.
"""

import math

import pytest
import torch
from torch import Tensor

from lowrank_dynamics.data.drawn import whiten
from lowrank_dynamics.models.initialization import semi_orthogonal
from lowrank_dynamics.models.linearity import (
    Curvature,
    curvature_bound,
    derivative_bounds,
    first_tail_bound,
    linear_network,
    slope_at_zero,
    sublevel_curvature_bound,
)
from lowrank_dynamics.models.networks import MLP, make_activation
from lowrank_dynamics.training.losses import squared_error

TRIALS, D, M, K, N = 2, 5, 7, 2, 32
SMOOTH = ["elu", "gelu", "silu", "tanh", "swish_0.1", "swish_10"]


def setting(eps: float, seed: int = 0) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return W_1 = eps Q and a W_2, whitened inputs and targets."""
    generators = [torch.Generator().manual_seed(seed + trial) for trial in range(TRIALS)]
    first = semi_orthogonal(M, D, generators, eps)
    last, inputs, targets = (
        torch.stack(
            [torch.randn(*shape, dtype=torch.float64, generator=each) for each in generators]
        )
        for shape in ((K, M), (D, N), (K, N))
    )
    return [first, last], whiten(inputs), targets


@pytest.mark.parametrize(
    ("name", "slope", "b", "mu"),
    [
        ("elu", 1, 1, 1),
        ("tanh", 1, 1, 4 / 27**0.5),
        ("gelu", 0.5, 0.5 + math.erf(1) / 2 + math.exp(-1) / math.pi**0.5, (2 / math.pi) ** 0.5),
        ("silu", 0.5, 1.09984, 0.5),
        ("swish_10", 0.5, 1.09984, 5),
        ("identity", 1, 1, 0),
    ],
)
def test_the_derivatives_have_the_bounds_of_the_formulas(
    name: str, slope: float, b: float, mu: float
) -> None:
    activation = make_activation(name, [])
    assert slope_at_zero(activation) == pytest.approx(slope)
    assert derivative_bounds(activation) == pytest.approx((b, mu), rel=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("eps", [0.01, 1.0, 3.0])
def test_the_curvature_is_that_of_the_hessian_and_within_its_bound(name: str, eps: float) -> None:
    weights, inputs, targets = setting(eps)
    activation = make_activation(name, [])
    residual = MLP(weights, activation)(inputs).detach() - targets
    curvature = Curvature.at(weights, activation, inputs, residual)
    largest = curvature.largest()
    bound = curvature_bound(weights[1], residual, *derivative_bounds(activation))
    assert (largest <= bound).all()
    for trial in range(TRIALS):

        def loss(flat: Tensor, trial: int = trial) -> Tensor:
            own = [flat.view(1, M, D), weights[1][trial : trial + 1]]
            outputs = own[1] @ make_activation(name, [])(own[0] @ inputs[trial])
            return squared_error(outputs, targets[trial]).sum()

        hessian = torch.autograd.functional.hessian(loss, weights[0][trial].flatten())
        torch.testing.assert_close(curvature.hessian(trial), hessian)
        exact = torch.linalg.eigvalsh(hessian).abs().max()
        torch.testing.assert_close(largest[trial], exact)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("eps", [0.01, 1.0])
def test_no_curvature_where_the_loss_is_lower_exceeds_the_sublevel_bound(
    name: str, eps: float
) -> None:
    """Along the path of a step size that it admits, and between the iterates; the loss falls."""
    weights, inputs, targets = setting(eps)
    first, last = weights
    activation = make_activation(name, [])
    derived = derivative_bounds(activation)
    start = MLP(weights, activation)(inputs).detach() - targets
    bound = sublevel_curvature_bound(last, start, *derived)
    assert (curvature_bound(last, start, *derived) <= bound).all()
    loss = squared_error(start, torch.zeros_like(start))
    for _ in range(5):
        network = MLP([first, last], activation)
        losses = squared_error(network(inputs), targets)
        (gradient,) = torch.autograd.grad(losses.sum(), network.weights[0])
        assert (losses <= loss).all()
        loss = losses.detach()
        for part in (0.5, 1.0):
            between = first - part * gradient / bound[:, None, None]
            residual = MLP([between, last], activation)(inputs).detach() - targets
            curvature = Curvature.at([between, last], activation, inputs, residual)
            assert (curvature.largest() <= bound).all()
        first = between


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("eps", [0.001, 0.1, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_tail_is_within_its_bound(name: str, eps: float, seed: int) -> None:
    weights, inputs, targets = setting(eps, 10 * seed)
    activation = make_activation(name, [])
    network = MLP(weights, activation)
    outputs = network(inputs)
    (gradient,) = torch.autograd.grad(squared_error(outputs, targets).sum(), network.weights[0])
    _, mu = derivative_bounds(activation)
    bound = first_tail_bound(weights[1], outputs.detach() - targets, mu, D, eps)
    assert (torch.linalg.svdvals(gradient)[:, K] <= bound).all()


def test_a_network_with_the_identity_is_the_linear_one() -> None:
    weights, inputs, targets = setting(0.5)
    network = MLP(weights, make_activation("identity", []))
    outputs = network(inputs)
    (gradient,) = torch.autograd.grad(squared_error(outputs, targets).sum(), network.weights[0])
    expected = linear_network(weights, 1.0, inputs, targets)
    torch.testing.assert_close((outputs.detach(), gradient), expected)


def test_phi_beta_goes_from_linear_to_relu() -> None:
    z = torch.linspace(-3, 3, 64, dtype=torch.float64)[None]
    silu, relu = torch.nn.functional.silu(z), torch.relu(z)
    assert torch.equal(make_activation("swish_1", [])(z), silu)
    torch.testing.assert_close(make_activation("swish_0.001", [])(z), z / 2, rtol=0, atol=0.003)
    torch.testing.assert_close(make_activation("swish_1000", [])(z), relu, rtol=0, atol=0.003)
    torch.testing.assert_close(
        make_activation("swish_1.702", [])(z), torch.nn.functional.gelu(z), rtol=0, atol=0.021
    )
