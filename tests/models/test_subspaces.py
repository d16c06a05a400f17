"""Laws of section 2: S_big and S_small, blocks, shares, angles."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from conftest import NAME, refused
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.models.initialization import big_factors, semi_orthogonal, widened_factor
from lowrank_dynamics.models.subspaces import (
    LayerBases,
    big_subspace,
    block_shares,
    blocks,
    principal_angles,
    sine_distance,
    top_singular_subspaces,
)
from lowrank_dynamics.training.build import Job, setup_of


def at_start(
    settings: Settings, activation: str = "elu"
) -> tuple[list[Tensor], Tensor, list[LayerBases]]:
    """Return the hidden weights, the gradient of the first and the bases of each, at
    initialization; K = 3.
    """
    setup = setup_of(Job(settings, NAME, Cell(activation, "full"), range(3)))
    return setup.mlp.hidden_weights, setup.initial_gradient, setup.bases


def bases(count: int, n: int, k: int, seed: int = 0) -> Tensor:
    return semi_orthogonal(
        n, k, [torch.Generator().manual_seed(seed + trial) for trial in range(count)]
    )


def identity(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64).expand(3, n, n)


def test_s_small_is_the_papers_intersection(settings: Callable[..., Settings]) -> None:
    """S_small lies in range R_{1,2}(0) and is orthogonal to range W_1(0)' L_{1,1}(0); with S_big it
    fills R^d.
    """
    (weight, *_), gradient, (layer, *_) = at_start(settings())
    big, small = layer.v1, layer.v2
    left, right = top_singular_subspaces(gradient, 3)
    assert big.shape == (3, 12, 6)
    assert small.shape == (3, 12, 6)
    torch.testing.assert_close(big @ big.mT + small @ small.mT, identity(12))
    assert (right.mT @ small).abs().max() < 1e-12
    assert (left.mT @ weight @ small).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("activation", "order"), [("elu", 1), ("gelu", 1), ("silu", 1), ("tanh", 2), ("relu", 0)]
)
def test_the_first_gradient_on_s_small_vanishes_with_eps(
    settings: Callable[..., Settings], activation: str, order: int
) -> None:
    """In log-log against eps, ||G_1(0) V_{1,2}|| has slope 1, or 2 where phi''(0) = 0; ||G_1(0)||,
    and ReLU's, 0.
    """
    several = torch.tensor([1e-2, 1e-3, 1e-4], dtype=torch.float64)
    on_small, whole = [], []
    for eps in several.tolist():
        _, gradient, (layer, *_) = at_start(
            settings(network__depth=2, network__eps=eps), activation
        )
        on_small.append(torch.linalg.matrix_norm(gradient @ layer.v2).mean())
        whole.append(torch.linalg.matrix_norm(gradient).mean())
    for norms, slope in ((on_small, order), (whole, 0)):
        measured = torch.stack(norms).log().diff() / several.log().diff()
        torch.testing.assert_close(
            measured, torch.full_like(measured, float(slope)), atol=4e-4, rtol=1e-3
        )


def test_blocks_at_initialization(settings: Callable[..., Settings]) -> None:
    """Blocks 2 and 3 are zero, block 4 has norm eps sqrt(p), in every layer; the bases are
    orthogonal.
    """
    weights, _, layers = at_start(settings())
    p = 12 - 2 * 3
    for weight, layer in zip(weights, layers, strict=True):
        for first, second in ((layer.u1, layer.u2), (layer.v1, layer.v2)):
            whole = torch.cat([first, second], dim=-1)
            torch.testing.assert_close(whole.mT @ whole, identity(whole.shape[-1]))
        _, upper_right, lower_left, bulk = blocks(weight, layer)
        assert upper_right.abs().max() < 1e-12
        assert lower_left.abs().max() < 1e-12
        norms = torch.linalg.matrix_norm(bulk)
        torch.testing.assert_close(norms, torch.full_like(norms, 0.1 * p**0.5))


def test_block_shares_sum_to_one_and_are_undefined_without_change(
    settings: Callable[..., Settings],
) -> None:
    weights, _, (layer, *_) = at_start(settings())
    shares = block_shares(weights[0] ** 2, layer)
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(block_shares(5 * weights[0] ** 2, layer), shares)
    assert block_shares(torch.zeros_like(weights[0]), layer).isnan().all()


def test_s_big_factors_are_orthonormal(settings: Callable[..., Settings]) -> None:
    weights, gradient, _ = at_start(settings())
    for factor in big_factors(weights, gradient, 3, 0.1):
        torch.testing.assert_close(factor.mT @ factor, identity(6))


def test_what_holds_of_the_factors_where_the_network_is_narrower_than_its_input() -> None:
    """m < d: the singular values of U(0) are the cosines between S_big and the row space of W_1(0),
    K of them 1.
    """
    d, m, classes, eps = 14, 8, 3, 0.1
    first, second = 0.1 * bases(3, d, m).mT, 0.1 * bases(3, m, m, seed=10)
    values = torch.tensor([1.0, 0.9, 0.8, 0.1], dtype=torch.float64)
    gradient = values * bases(3, m, 4, seed=20) @ bases(3, d, 4, seed=30).mT
    input_factor, output_factor = big_factors([first, second], gradient, classes, eps)
    torch.testing.assert_close(input_factor.mT @ input_factor, identity(2 * classes))
    cosines = torch.linalg.svdvals(first @ input_factor / eps)
    torch.testing.assert_close(torch.linalg.svdvals(output_factor), cosines)
    torch.testing.assert_close(cosines[:, :classes], torch.ones(3, classes, dtype=torch.float64))
    assert cosines[:, classes:].max() < 1 - 1e-3
    assert cosines.min() > 1e-3


def test_s_big_has_one_basis_whatever_rounding_makes_of_signs() -> None:
    """Turning the hidden units changes no half of S_big. Where inputs are always zero, rounding has
    its say.
    """
    weight, gradient = (
        bases(8, 12, 9),
        torch.randn(8, 12, 9, generator=torch.Generator().manual_seed(1)).double(),
    )
    gradient[..., :3] = 0
    turn, expected = bases(8, 12, 12, seed=20), big_subspace(weight, gradient, 3, 1.0)
    torch.testing.assert_close(big_subspace(turn @ weight, turn @ gradient, 3, 1.0), expected)
    torch.testing.assert_close(big_subspace(-weight, -gradient, 3, 1.0), expected)


def test_what_widens_a_factor_depends_on_its_span_alone() -> None:
    factor, turn = bases(3, 12, 6), bases(3, 6, 6, seed=10)
    one, other = (
        widened_factor(each, 9, [torch.Generator().manual_seed(trial) for trial in range(3)])[
            ..., 6:
        ]
        for each in (factor, factor @ turn)
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 0.3, 0.8, 1.5707963267])
def test_principal_angles_of_a_rotated_line_and_plane(angle: float) -> None:
    """Exact to rounding at small angles too, where arccos alone would lose half of the digits."""
    fixed = torch.eye(4, dtype=torch.float64)[:, :2]
    turned = fixed.clone()
    turned[1, 1] = torch.tensor(angle, dtype=torch.float64).cos()
    turned[2, 1] = torch.tensor(angle, dtype=torch.float64).sin()
    expected = torch.tensor([0.0, angle], dtype=torch.float64)
    torch.testing.assert_close(principal_angles(fixed, turned), expected, atol=1e-14, rtol=1e-9)
    torch.testing.assert_close(
        sine_distance(fixed, turned), expected[1].sin(), atol=1e-14, rtol=1e-9
    )


def test_angles_do_not_depend_on_the_basis_and_are_symmetric() -> None:
    first, second, turn = bases(3, 9, 4), bases(3, 9, 4, seed=10), bases(3, 4, 4, seed=20)
    angles = principal_angles(first, second)
    torch.testing.assert_close(principal_angles(first @ turn, second), angles)
    torch.testing.assert_close(principal_angles(second, first), angles)
    torch.testing.assert_close(
        sine_distance(first, second), angles.sin().square().sum(dim=-1).sqrt()
    )


def test_degenerate_subspaces_are_refused() -> None:
    with refused("rank below K = 2, only 1"):
        top_singular_subspaces(torch.ones(3, 5, 5, dtype=torch.float64), 2)
    gradient = torch.diag(torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    with refused("fewer than 2K = 4"):
        big_subspace(torch.eye(5, dtype=torch.float64), gradient, 2, 1.0)


@pytest.mark.parametrize(("dtype", "noise"), [(torch.float32, 1e-7), (torch.float64, 4e-16)])
def test_what_is_rounding_does_not_count_as_rank(dtype: torch.dtype, noise: float) -> None:
    """In the precision that the gradient was computed in, whichever the subspaces are computed
    in.
    """
    gradient = torch.diag(torch.tensor([1.0, 0.5, noise, noise / 2], dtype=dtype))
    with refused("rank below K = 3, only 2"):
        top_singular_subspaces(gradient, 3, torch.float64)
    top_singular_subspaces(gradient, 2)


def test_directions_that_rounding_decides_are_told() -> None:
    gradient = torch.diag(torch.tensor([3.0, 2.0, 2.0, 1.0], dtype=torch.float64))
    with pytest.warns(UserWarning, match="the singular values 2 and 3 of the gradient are equal"):
        top_singular_subspaces(gradient, 2)
    top_singular_subspaces(gradient, 3)
