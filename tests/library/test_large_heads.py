"""Large heads: leading subspaces and norms without whole decompositions, as exact as with them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics.models import large_matrices, subspaces
from lowrank_dynamics.models.big_basis import big_basis
from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.large_matrices import Ritz, leading_triplets, spectral_norm
from lowrank_dynamics.models.subspaces import sine_distance, top_singular_subspaces

K = 3
ROUNDING = 1e-6


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def of_values(values: Tensor, rows: int, columns: int) -> Tensor:
    """Return a matrix with these singular values."""
    left, _ = torch.linalg.qr(drawn(rows, len(values)))
    right, _ = torch.linalg.qr(drawn(columns, len(values), seed=1))
    return left * values @ right.mT


def gradient(samples: int, activation: Callable[[], nn.Module], d: int = 520) -> Tensor:
    """Return a first gradient (400, d), in single precision, of inputs as after a ReLU."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(d, 400), activation(), nn.Linear(400, K))
    inputs, labels = drawn(samples, d).float().relu(), torch.arange(samples) % K
    loss = functional.cross_entropy(model(inputs), labels)
    (first,) = torch.autograd.grad(loss, [model[0].weight])
    return first


FAST = {
    "few samples": gradient(12, nn.GELU),
    "many samples": gradient(500, nn.GELU),
    "tall": gradient(40, nn.GELU).mT.contiguous(),
    "no decay": of_values(torch.cat([drawn(K).abs() + 2, torch.ones(397)]), 400, 520),
}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make matrices of a few hundred rows count as large."""
    monkeypatch.setattr(subspaces, "LARGE", 100)
    return monkeypatch


@pytest.mark.parametrize("matrix", FAST.values(), ids=FAST)
def test_subspaces_are_those_of_the_whole_decomposition(
    matrix: Tensor, large: pytest.MonkeyPatch
) -> None:
    assert leading_triplets(matrix.double(), K, ROUNDING) is not None
    found = top_singular_subspaces(matrix, K, torch.float64)
    large.undo()
    exact = top_singular_subspaces(matrix, K, torch.float64)
    for one, other in zip(found, exact, strict=True):
        assert float(sine_distance(one, other)) < 1e-8
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_a_gap_that_no_bound_shows_is_left_to_the_whole_decomposition(
    large: pytest.MonkeyPatch,
) -> None:
    values = torch.ones(400, dtype=torch.float64)
    values[:K] += 1e-5
    matrix = of_values(values, 400, 400)
    assert leading_triplets(matrix, K, ROUNDING) is None
    found = top_singular_subspaces(matrix, K)
    large.undo()
    exact = top_singular_subspaces(matrix, K)
    assert all(map(torch.equal, found, exact))


@pytest.mark.parametrize("largest", [9.0, 4.1])
def test_triplets_that_are_not_the_leading_ones_are_found_out(
    largest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be exact, and yet miss the direction of a larger singular value."""
    rest = torch.ones(396, dtype=torch.float64)
    values = torch.cat([torch.tensor([largest, 6.0, 5.0, 4.0]), rest])
    axes = torch.eye(400, dtype=torch.float64)[:, 1:]
    missing = Ritz(axes, values[1:], axes, torch.zeros_like(axes))
    monkeypatch.setattr(large_matrices, "ritz_triplets", lambda *_: iter([missing]))
    assert leading_triplets(torch.diag(values), K, ROUNDING) is None


@pytest.mark.usefixtures("large")
def test_a_trial_has_the_same_bits_alone_stacked_and_again() -> None:
    stacked = drawn(3, 203, 301) @ torch.diag(0.9 ** torch.arange(301).double())
    together = top_singular_subspaces(stacked, K)
    again = top_singular_subspaces(stacked, K)
    assert all(map(torch.equal, together, again))
    for trial in range(3):
        alone = top_singular_subspaces(stacked[trial], K)
        assert torch.equal(alone[0], together[0][trial])
        assert torch.equal(alone[1], together[1][trial])


@pytest.mark.usefixtures("large")
def test_a_rank_below_k_is_refused_without_a_whole_decomposition() -> None:
    matrix = gradient(2, nn.GELU)
    assert leading_triplets(matrix.double(), K, ROUNDING) is not None
    with refused("the gradient has rank below K = 3, only 2"):
        top_singular_subspaces(matrix, K, torch.float64)


def test_s_big_of_a_model_is_that_of_the_whole_decomposition(large: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 260), nn.GELU(), nn.Linear(260, K))
    inputs, labels = drawn(60, 300).float(), torch.arange(60) % K
    chain = chain_of(model)

    def loss() -> Tensor:
        return functional.cross_entropy(model(inputs), labels)

    found = big_basis(chain, loss)
    large.undo()
    exact = big_basis(chain, loss)
    assert not torch.equal(found, exact)
    assert float(sine_distance(found, exact)) < 1e-8


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "matrix",
    [drawn(300, 400), drawn(400, 300), of_values(torch.ones(300).double(), 300, 400)],
    ids=["wide", "tall", "orthonormal"],
)
def test_a_norm_is_exact_to_a_percent(matrix: Tensor, dtype: torch.dtype) -> None:
    norm = spectral_norm(matrix.to(dtype))
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-2)
    assert norm == spectral_norm(matrix.to(dtype))


def test_matrices_of_the_laptop_scale_are_decomposed_as_a_whole() -> None:
    assert not subspaces.is_large(torch.empty(1024, 4608))
    assert subspaces.is_large(torch.empty(5, 4096, 4608))
