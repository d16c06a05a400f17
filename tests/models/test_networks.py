"""The networks: equation 10 against the full network, activations, gradients, initialization."""

import pytest
import torch
from torch import Tensor

from conftest import refused
from lowrank_dynamics.config.networks import Matrix
from lowrank_dynamics.config.registries import ACTIVATIONS, activation
from lowrank_dynamics.data.drawn import whiten
from lowrank_dynamics.models.initialization import mlp_weights, semi_orthogonal
from lowrank_dynamics.models.networks import (
    MLP,
    LowRankMLP,
    RReLU,
    in_evaluation,
    make_activation,
)
from lowrank_dynamics.training.losses import linear_fit_loss, squared_error

TRIALS, D, M, K, N = 2, 6, 6, 2, 9
NAMES = [f"{name}_2" if entry.parameter else name for name, entry in ACTIVATIONS.items()]


def generators(first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + trial) for trial in range(TRIALS)]


def weights(depth: int = 3) -> list[Tensor]:
    return drawn(M, depth)


def drawn(width: int, depth: int) -> list[Tensor]:
    inner = [Matrix(width, width)] * (depth - 2)
    matrices = [Matrix(width, D), *inner, Matrix(K, width)]
    return mlp_weights(matrices, eps=0.5, last_eps=1.0, generators=generators())


def data() -> tuple[Tensor, Tensor]:
    inputs = torch.stack(
        [torch.randn(D, N, dtype=torch.float64, generator=g) for g in generators(10)]
    )
    targets = torch.stack(
        [torch.randn(K, N, dtype=torch.float64, generator=g) for g in generators(20)]
    )
    return inputs, targets


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5), (4, 4)])
def test_semi_orthogonal(rows: int, columns: int) -> None:
    matrix = semi_orthogonal(rows, columns, generators(), eps=0.1)
    small = matrix if rows >= columns else matrix.mT
    gram = small.mT @ small
    torch.testing.assert_close(
        gram, 0.01 * torch.eye(min(rows, columns), dtype=torch.float64).expand_as(gram)
    )


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("name", [name for name in NAMES if not activation(name).random])
def test_the_low_rank_network_on_all_dimensions_is_the_full_one(name: str, depth: int) -> None:
    """With r = d = m, V orthogonal, W~_1 = W_1 V, W~_l = W_l and U = I equation (10) is the MLP."""
    first, *inner, last = weights(depth)
    turn = semi_orthogonal(D, D, generators(5))
    activation = make_activation(name, [])
    full = MLP([first, *inner, last], activation)
    unit = torch.eye(M, dtype=torch.float64).expand(TRIALS, M, M)
    low_rank = LowRankMLP(turn, [first @ turn, *inner], unit, last, activation)
    inputs, _ = data()
    torch.testing.assert_close(low_rank(inputs), full(inputs))


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_so_is_the_low_rank_head_that_is_narrower_than_its_input(name: str) -> None:
    """With r = d > m, V = I, W_1 and W_2 filled up with zeros and U = [I 0], as phi(0) = 0."""
    narrow = 4
    first, inner, last = drawn(narrow, 3)
    activation = make_activation(name, [])
    filled = [
        torch.nn.functional.pad(weight, (0, D - weight.shape[-1], 0, D - narrow))
        for weight in (first, inner)
    ]
    unit = torch.eye(D, dtype=torch.float64).expand(TRIALS, D, D)
    low_rank = LowRankMLP(unit, filled, unit[:, :narrow], last, activation)
    inputs, _ = data()
    torch.testing.assert_close(low_rank(inputs), MLP([first, inner, last], activation)(inputs))


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "tanh", "leaky_relu"])
def test_gradients_against_finite_differences(name: str) -> None:
    inputs, targets = data()
    full = weights()
    input_factor, output_factor = (
        semi_orthogonal(D, 4, generators(5)),
        semi_orthogonal(M, 4, generators(8)),
    )
    cores = [semi_orthogonal(4, 4, generators(6), 0.5) for _ in range(2)]
    activation = make_activation(name, [])
    for network in (
        MLP(full, activation),
        LowRankMLP(input_factor, cores, output_factor, full[-1], activation),
    ):
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(squared_error(network(inputs), targets).sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            direction = torch.randn(
                parameter.shape, dtype=torch.float64, generator=generators(7)[0]
            )
            losses = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.add_(step * direction)
                    losses.append(squared_error(network(inputs), targets).sum())
                    parameter.sub_(step * direction)
            torch.testing.assert_close(
                (losses[0] - losses[1]) / 2e-6, (gradient * direction).sum(), rtol=1e-6, atol=1e-6
            )


def test_the_gradient_is_the_papers_formula() -> None:
    """G_1 = (W_2' Delta_2 * phi'(W_1 X)) X', with tanh' = 1 - tanh^2."""
    inputs, targets = data()
    network = MLP(weights(depth=2), make_activation("tanh", []))
    (gradient,) = torch.autograd.grad(
        squared_error(network(inputs), targets).sum(), network.weights[0]
    )
    first, last = weights(depth=2)
    hidden = (first @ inputs).tanh()
    formula = (last.mT @ (last @ hidden - targets) * (1 - hidden**2)) @ inputs.mT
    torch.testing.assert_close(gradient, formula)


@pytest.mark.parametrize("name", NAMES)
def test_activations_vanish_at_zero(name: str) -> None:
    zero = torch.zeros(TRIALS, 3, 4, dtype=torch.float64)
    assert torch.equal(make_activation(name, generators())(zero), zero)


def test_rrelu_draws_from_each_trials_own_generator() -> None:
    z = -torch.ones(TRIALS, 50, 40, dtype=torch.float64)
    both = RReLU(generators())(z)
    for trial in range(TRIALS):
        alone = RReLU([generators()[trial]])(z[trial : trial + 1])
        assert torch.equal(alone[0], both[trial])
    assert -both.max() >= 1 / 8
    assert -both.min() <= 1 / 3
    assert not torch.equal(both[0], both[1])
    assert torch.equal(RReLU(generators()).eval()(z), z * (1 / 8 + 1 / 3) / 2)


def test_an_activation_that_does_not_map_zero_to_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = ACTIVATIONS["tanh"]._replace(target="torch.nn:Sigmoid")
    monkeypatch.setitem(ACTIVATIONS, "sigmoid", entry)
    with refused(r"the activation sigmoid maps 0 to 0.5, and the theory needs phi\(0\) = 0"):
        make_activation("sigmoid", [])


def test_the_linear_fit_uses_every_direction_of_single_precision() -> None:
    """However many samples there are, weak directions are no rounding."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.logspace(0, -4, 20).unsqueeze(1)
    inputs = sizes * torch.randn(20, 5_000, generator=generator)
    targets = torch.randn(3, 20, generator=generator) @ (inputs / sizes)
    assert linear_fit_loss(inputs, targets) < 1e-6 * targets.square().sum()


@pytest.mark.parametrize("whitened", [True, False])
def test_linear_fit_loss_against_least_squares(whitened: bool) -> None:
    inputs, targets = data()
    inputs = whiten(inputs) if whitened else inputs
    fit = torch.linalg.lstsq(inputs.mT, targets.mT).solution.mT
    torch.testing.assert_close(
        linear_fit_loss(inputs, targets), squared_error(fit @ inputs, targets)
    )


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_in_evaluation_for_a_while_only(training: bool) -> None:
    """Random slopes are then at their mean. An error may end it."""
    network = MLP(weights(), RReLU(generators())).train(training)
    inputs, _ = data()
    with in_evaluation(network):
        assert torch.equal(network(inputs), network(inputs))
    assert {module.training for module in network.modules()} == {training}
    with pytest.raises(RuntimeError, match="size"), in_evaluation(network):
        network(inputs.mT)
    assert {module.training for module in network.modules()} == {training}
