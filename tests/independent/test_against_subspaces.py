"""S_big, bases, blocks, movement and factors of the package against the formulas."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from independent import formulas
from independent.cases import (
    EPS,
    SHAPES,
    TRIALS,
    Case,
    Shape,
    assert_agree,
    drawn,
    orthonormal,
    perturbed,
    projectors,
    stack,
    stacks,
)
from independent.formulas import ACTIVATIONS, OBJECTIVES, Matrix
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models import subspaces
from lowrank_dynamics.models.initialization import rotated_factor, widened_factor
from lowrank_dynamics.models.movement import GROUPS, References, singular_structure
from lowrank_dynamics.models.networks import MLP, make_activation
from lowrank_dynamics.training.losses import first_layer_gradient

CASES = {shape: [drawn(shape, trial) for trial in TRIALS] for shape in SHAPES}
OF_ANY_KIND = {
    shape: [case._replace(weights=perturbed(case.weights, EPS)) for case in cases]
    for shape, cases in CASES.items()
}


def gradients(case: Case, name: str, objective: str = "squared_error") -> list[Matrix]:
    """Return G_1(0) .. G_L(0) of one trial, by the formulas."""
    phi = ACTIVATIONS[name]
    outputs = formulas.mlp(case.weights, phi, case.inputs)
    pull = OBJECTIVES[objective].gradient(outputs, case.targets)
    return formulas.mlp_gradients(case.weights, phi, case.inputs, pull)


def first_gradients(cases: Sequence[Case], name: str, objective: str = "squared_error") -> Tensor:
    """Return G_1(0) of all trials, by the package."""
    network = MLP(stacks([case.weights for case in cases]), make_activation(name, []))
    targets = stack([case.targets for case in cases])
    inputs = stack([case.inputs for case in cases])
    data = Split(inputs, targets.argmax(dim=-2), targets.shape[-2])
    return first_layer_gradient(network, objective, data)


def small(case: Case, name: str, shape: Shape) -> Matrix:
    """Return the projector onto S_small of one trial, by the formulas."""
    first, gradient = case.weights[0], gradients(case, name)[0]
    return formulas.s_small(first, gradient, shape.classes, EPS)


def package_bases(
    cases: Sequence[Case], name: str, shape: Shape, eps: float | None
) -> list[subspaces.LayerBases]:
    """Return the bases of all trials, by the package."""
    hidden = stacks([case.weights[:-1] for case in cases])
    big = subspaces.big_subspace(hidden[0], first_gradients(cases, name), shape.classes, EPS)
    return subspaces.layer_bases(hidden, big, eps)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_s_big(name: str, objective: str, shape: Shape) -> None:
    cases = CASES[shape]
    found = first_gradients(cases, name, objective)
    first = stack([case.weights[0] for case in cases])
    big = projectors(subspaces.big_subspace(first, found, shape.classes, EPS))
    for trial, case in enumerate(cases):
        gradient = gradients(case, name, objective)[0]
        assert_agree(found[trial], gradient)
        assert_agree(big[trial], formulas.s_big(first[trial].numpy(), gradient, shape.classes, EPS))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bases_of_every_layer(name: str, shape: Shape) -> None:
    cases = CASES[shape]
    bases = package_bases(cases, name, shape, EPS)
    for trial, case in enumerate(cases):
        layers = formulas.layers(case.weights[:-1], small(case, name, shape), EPS)
        assert_same_subspaces(bases, layers, trial)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bases_of_weights_of_any_kind(name: str, shape: Shape) -> None:
    cases = OF_ANY_KIND[shape]
    bases = package_bases(cases, name, shape, None)
    for trial, case in enumerate(cases):
        layers = formulas.layers_of_any_weights(case.weights[:-1], small(case, name, shape))
        assert_same_subspaces(bases, layers, trial)


def assert_same_subspaces(
    bases: Sequence[subspaces.LayerBases], layers: Sequence[formulas.Layer], trial: int
) -> None:
    for found, layer in zip(bases, layers, strict=True):
        assert_agree(projectors(found.u2)[trial], layer.u_2)
        assert_agree(projectors(found.v2)[trial], layer.v_2)
        assert_agree(projectors(found.u1)[trial], formulas.complement(layer.u_2))
        assert_agree(projectors(found.v1)[trial], formulas.complement(layer.v_2))


@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_blocks_of_a_change(name: str, shape: Shape, noise: float) -> None:
    """The change of a step of gradient descent, and with noise in all directions."""
    cases = CASES[shape]
    bases = package_bases(cases, name, shape, EPS)
    changes = [perturbed(gradients(case, name)[:-1], noise) for case in cases]
    for number, stacked in enumerate(stacks(changes)):
        by_blocks = subspaces.block_shares(stacked, bases[number])
        by_norms = subspaces.block_shares_by_norms(stacked, bases[number])
        blocks = subspaces.blocks(stacked, bases[number])
        norms = torch.stack([torch.linalg.matrix_norm(block) for block in blocks], dim=-1)
        for trial, case in enumerate(cases):
            change = changes[trial][number]
            layers = formulas.layers(case.weights[:-1], small(case, name, shape), EPS)
            assert_agree(norms[trial], formulas.block_norms(change, layers[number]))
            shares = formulas.block_shares(change, layers[number])
            assert_agree(by_blocks[trial], shares)
            assert_agree(by_norms[trial], shares)


def moving(m: int, d: int, trial: int) -> list[Matrix]:
    """Return W(0) = EPS Q, which has no singular subspaces, and iterates with well separated
    values.
    """
    generator = np.random.default_rng(trial)
    iterates = [EPS * orthonormal(generator, m, d)]
    values = np.diag(np.linspace(3, 1, min(m, d)))
    left, right = orthonormal(generator, m, min(m, d)), orthonormal(generator, d, min(m, d))
    moved = left @ values @ right.T
    for size in (0.0, 1e-6, 1e-3, 0.3, 3.0):
        iterates.append(moved + size * generator.standard_normal((m, d)))
    return iterates


@pytest.mark.parametrize(("m", "d"), [(11, 11), (14, 10), (10, 13)])
@pytest.mark.parametrize("k", [1, 3])
def test_movement_of_singular_subspaces(m: int, d: int, k: int) -> None:
    trials = [moving(m, d, trial) for trial in TRIALS]
    n = min(m, d)
    groups = dict(zip(GROUPS, [(1, k), (k + 1, n - k), (n - k + 1, n)], strict=True))
    references: References = {}
    for step, stacked in enumerate(stacks(trials)):
        found = dict(singular_structure(1, stacked, k, references))
        for trial in TRIALS:
            now, reference = trials[trial][step], trials[trial][1]
            values = np.linalg.eigvalsh(now @ now.T)[::-1][:n]
            assert_agree(found["singular_value"][trial] ** 2, values)
            sides = {"left": (now, reference), "right": (now.T, reference.T)}
            for side, (matrix, start) in sides.items():
                for group, numbers in groups.items():
                    angle = found[f"angle_{side}_{group}"][trial]
                    sine = found[f"sine_{side}_{group}"][trial]
                    if step == 0:
                        assert angle.isnan()
                        assert sine.isnan()
                        continue
                    one = formulas.left_subspace(matrix, *numbers)
                    other = formulas.left_subspace(start, *numbers)
                    size = math.sqrt(numbers[1] - numbers[0] + 1)
                    assert_agree(sine, formulas.sine_distance(one, other) / size)
                    assert_agree(angle, formulas.principal_angles(one, other)[0])


@pytest.mark.parametrize(("n", "k"), [(9, 1), (9, 4), (8, 4), (9, 6), (9, 8)])
def test_principal_angles(n: int, k: int) -> None:
    generator = np.random.default_rng(n + k)
    for size in (1e-9, 1e-4, 1.0, 10.0):
        one = orthonormal(generator, n, k)
        other, _ = np.linalg.qr(one + size * generator.standard_normal((n, k)))
        expected = formulas.principal_angles(one @ one.T, other @ other.T)
        found = subspaces.principal_angles(torch.from_numpy(one), torch.from_numpy(other))
        assert_agree(found.flip(-1), expected)
        distance = subspaces.sine_distance(torch.from_numpy(one), torch.from_numpy(other))
        assert_agree(distance, np.linalg.norm(np.sin(expected)))


def factors() -> list[Matrix]:
    """Return a factor F (14, 4) of each trial, with orthonormal columns."""
    result = []
    for trial in TRIALS:
        result.append(orthonormal(np.random.default_rng(trial), 14, 4))
    return result


def complement_generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(10 + trial) for trial in TRIALS]


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 15.0, 45.0, 60.0, 90.0])
def test_a_rotated_factor_has_the_angle_psi_in_all_directions(degrees: float) -> None:
    psi = math.radians(degrees)
    rotated = rotated_factor(stack(factors()), degrees, complement_generators())
    for factor, turned in zip(factors(), rotated.numpy(), strict=True):
        assert_agree(turned.T @ turned, np.eye(4))
        assert_agree(factor.T @ turned, math.cos(psi) * np.eye(4))
        angles = formulas.principal_angles(factor @ factor.T, turned @ turned.T)
        assert_agree(angles, np.full(4, psi))


@pytest.mark.parametrize("rank", [5, 8, 14])
def test_a_widened_factor_contains_the_factor(rank: int) -> None:
    widened = widened_factor(stack(factors()), rank, complement_generators())
    for factor, wide in zip(factors(), widened.numpy(), strict=True):
        assert_agree(wide.T @ wide, np.eye(rank))
        assert_agree(wide @ wide.T @ factor, factor)
        assert_agree(wide[:, :4], factor)
