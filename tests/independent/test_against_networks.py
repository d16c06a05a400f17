"""Activations, losses, networks and their gradients against the formulas."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from independent import formulas
from independent.cases import (
    SHAPES,
    TRIALS,
    Shape,
    assert_agree,
    drawn,
    drawn_low_rank,
    in_order,
    perturbed,
    stack,
    stacks,
)
from independent.formulas import ACTIVATIONS, OBJECTIVES
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.data.drawn import whiten
from lowrank_dynamics.models.networks import MLP, LowRankMLP, StackedNetwork, make_activation
from lowrank_dynamics.training.losses import Pass, forward_and_back

TWO_LAYERS = Shape((12, 15), 3)
NARROW = Shape((9, 6, 13, 8), 4)


def passed(
    network: StackedNetwork, parameters: Sequence[Tensor], shape: Shape, objective: str
) -> Pass:
    """Return outputs, losses and the gradients in some parameters, by the package."""
    cases = [drawn(shape, trial) for trial in TRIALS]
    targets = stack([case.targets for case in cases])
    inputs = stack([case.inputs for case in cases])
    data = Split(inputs, targets.argmax(dim=-2), shape.classes)
    return forward_and_back(network, data, objective, parameters, None)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes(name: str) -> None:
    grid = np.concatenate([-np.geomspace(30, 1e-12, 400), np.geomspace(1e-12, 30, 400)])
    z = torch.from_numpy(grid[None]).requires_grad_()
    values = make_activation(name, [])(z.clone())
    (slopes,) = torch.autograd.grad(values.sum(), z)
    assert_agree(values[0], ACTIVATIONS[name].value(grid))
    assert_agree(slopes[0], ACTIVATIONS[name].slope(grid))


@pytest.mark.parametrize("shape", [TWO_LAYERS, *SHAPES, NARROW])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_mlp_with_its_loss_and_gradients(name: str, objective: str, shape: Shape) -> None:
    phi, loss = ACTIVATIONS[name], OBJECTIVES[objective]
    trials = []
    for trial in TRIALS:
        trials.append(perturbed(drawn(shape, trial).weights, 2.0))
    network = MLP(stacks(trials), make_activation(name, []))
    found = passed(network, list(network.weights), shape, objective)
    for trial, weights in enumerate(trials):
        case = drawn(shape, trial)
        outputs = formulas.mlp(weights, phi, case.inputs)
        assert_agree(found.outputs[trial], outputs)
        assert_agree(found.losses[trial], loss.value(outputs, case.targets))
        pull = loss.gradient(outputs, case.targets)
        gradients = formulas.mlp_gradients(weights, phi, case.inputs, pull)
        for package, gradient in zip(found.gradients, gradients, strict=True):
            assert_agree(package[trial], gradient)


@pytest.mark.parametrize("rank", [1, 6])
@pytest.mark.parametrize("shape", [TWO_LAYERS, *SHAPES, NARROW])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_low_rank_mlp_with_its_loss_and_gradients(
    name: str, objective: str, shape: Shape, rank: int
) -> None:
    phi, loss = ACTIVATIONS[name], OBJECTIVES[objective]
    trials = [drawn_low_rank(shape, rank, trial) for trial in TRIALS]
    v, *cores, u, last = stacks([network.matrices for network in trials])
    package = LowRankMLP(v, cores, u, last, make_activation(name, []))
    found = passed(package, in_order(package), shape, objective)
    for trial, network in enumerate(trials):
        case = drawn(shape, trial)
        outputs = formulas.low_rank_mlp(network, phi, case.inputs)
        assert_agree(found.outputs[trial], outputs)
        assert_agree(found.losses[trial], loss.value(outputs, case.targets))
        pull = loss.gradient(outputs, case.targets)
        gradients = formulas.low_rank_gradients(network, phi, case.inputs, pull).matrices
        for of_package, gradient in zip(found.gradients, gradients, strict=True):
            assert_agree(of_package[trial], gradient)


def test_whitened_inputs() -> None:
    inputs = np.random.default_rng(0).standard_normal((2, 9, 40)) + 3
    white = whiten(torch.from_numpy(inputs))
    for trial in TRIALS:
        assert_agree(white[trial], formulas.whitened(inputs[trial]))
        assert_agree(white[trial] @ white[trial].mT, np.eye(9))
