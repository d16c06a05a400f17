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
    assert_same_span,
    drawn,
    orthonormal,
    perturbed,
    stack,
    stacks,
)
from independent.formulas import ACTIVATIONS, OBJECTIVES, Matrix
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models import subspaces
from lowrank_dynamics.models.initialization import rotated_factor, widened_factor
from lowrank_dynamics.models.movement import References, singular_structure
from lowrank_dynamics.models.networks import MLP, make_activation
from lowrank_dynamics.training.losses import first_layer_gradient


def drawn_cases(shape: Shape) -> list[Case]:
    """Return each trial's case, with hidden weights of size EPS."""
    return [drawn(shape, trial) for trial in TRIALS]


def cases_of_any_kind(shape: Shape) -> list[Case]:
    """Return the same with hidden weights that have no orthonormal columns."""
    noisy = []
    for case in drawn_cases(shape):
        noisy.append(case._replace(weights=perturbed(case.weights, EPS)))
    return noisy


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
    cases = drawn_cases(shape)
    found = first_gradients(cases, name, objective)
    first = stack([case.weights[0] for case in cases])
    big = subspaces.big_subspace(first, found, shape.classes, EPS)
    for trial, case in enumerate(cases):
        gradient = gradients(case, name, objective)[0]
        assert_agree(found[trial], gradient)
        assert_same_span(big[trial], formulas.s_big(case.weights[0], gradient, shape.classes, EPS))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bases_of_every_layer(name: str, shape: Shape) -> None:
    cases = drawn_cases(shape)
    bases = package_bases(cases, name, shape, EPS)
    for trial, case in enumerate(cases):
        layers = formulas.layers(case.weights[:-1], small(case, name, shape), EPS)
        assert_same_subspaces(bases, layers, trial)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bases_of_weights_of_any_kind(name: str, shape: Shape) -> None:
    cases = cases_of_any_kind(shape)
    bases = package_bases(cases, name, shape, None)
    for trial, case in enumerate(cases):
        layers = formulas.layers_of_any_weights(case.weights[:-1], small(case, name, shape))
        assert_same_subspaces(bases, layers, trial)


def assert_same_subspaces(
    bases: Sequence[subspaces.LayerBases], layers: Sequence[formulas.Layer], trial: int
) -> None:
    for found, layer in zip(bases, layers, strict=True):
        assert_same_span(found.u2[trial], layer.u_2)
        assert_same_span(found.v2[trial], layer.v_2)
        assert_same_span(found.u1[trial], formulas.complement(layer.u_2))
        assert_same_span(found.v1[trial], formulas.complement(layer.v_2))


@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_blocks_of_a_change(name: str, shape: Shape, noise: float) -> None:
    """The change of a step of gradient descent, and with noise in all directions."""
    cases = drawn_cases(shape)
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
    """It is measured against the first iterate that has such subspaces, not the initial one."""
    trials = [moving(m, d, trial) for trial in TRIALS]
    references: References = {}
    for step, stacked in enumerate(stacks(trials)):
        found = dict(singular_structure(1, stacked, k, references))
        for trial, iterates in enumerate(trials):
            sigma = np.linalg.svd(iterates[step], compute_uv=False)
            assert_agree(found["singular_value"][trial], sigma)
            of_trial = {quantity: values[trial] for quantity, values in found.items()}
            gaps = of_trial.pop("subspace_gap")
            assert_agree(gaps[0], (sigma[k - 1] - sigma[k]) / sigma[0])
            assert_agree(gaps[1], (sigma[-k - 1] - sigma[-k]) / sigma[0])
            if step == 0:
                del of_trial["singular_value"]
                assert all(value.isnan() for value in of_trial.values())
            else:
                assert_moved(of_trial, "left", iterates[step], iterates[1], k)
                assert_moved(of_trial, "right", iterates[step].T, iterates[1].T, k)


def assert_moved(
    found: dict[str, Tensor], side: str, matrix: Matrix, reference: Matrix, k: int
) -> None:
    """Compare the movement of the top, middle and bottom left singular subspaces of a matrix."""
    n = min(matrix.shape)
    groups = {"top": (1, k), "middle": (k + 1, n - k), "bottom": (n - k + 1, n)}
    for group, (first, last) in groups.items():
        now = formulas.left_subspace(matrix, first, last)
        before = formulas.left_subspace(reference, first, last)
        normalized = formulas.sine_distance(now, before) / math.sqrt(last - first + 1)
        assert_agree(found[f"sine_{side}_{group}"], normalized)
        assert_agree(found[f"angle_{side}_{group}"], formulas.principal_angles(now, before)[0])


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


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 15.0, 45.0, 60.0, 75.0, 90.0])
def test_a_rotated_factor_has_the_angle_psi_in_all_directions(degrees: float) -> None:
    psi = math.radians(degrees)
    rotated = rotated_factor(stack(factors()), degrees, complement_generators())
    angles = subspaces.principal_angles(stack(factors()), rotated)
    torch.testing.assert_close(angles, torch.full_like(angles, psi), atol=1e-14, rtol=0)
    for factor, turned in zip(factors(), rotated.numpy(), strict=True):
        np.testing.assert_allclose(turned.T @ turned, np.eye(4), rtol=0, atol=1e-14)
        overlap = math.cos(psi) * np.eye(4)
        np.testing.assert_allclose(factor.T @ turned, overlap, rtol=0, atol=1e-14)
        expected = formulas.principal_angles(factor @ factor.T, turned @ turned.T)
        assert_agree(expected, np.full(4, psi))
        assert degrees > 0 or np.array_equal(turned, factor)


@pytest.mark.parametrize("rank", [5, 8, 14])
def test_a_widened_factor_contains_the_factor(rank: int) -> None:
    widened = widened_factor(stack(factors()), rank, complement_generators())
    for factor, wide in zip(factors(), widened.numpy(), strict=True):
        assert_agree(wide.T @ wide, np.eye(rank))
        assert_agree(wide @ wide.T @ factor, factor)
        assert np.array_equal(wide[:, :4], factor)
