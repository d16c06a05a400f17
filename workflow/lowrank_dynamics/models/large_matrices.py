"""Norms and leading singular vectors of large matrices, without decomposing all of them.

Both come from a block Krylov space with a random start that is the same at every call, and are
returned only if a bound on their error holds.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lowrank_dynamics.models.subspaces import is_large

FURTHER = 10
"""How many more columns a block has than singular vectors are wanted."""
NORM_TOLERANCE = 1e-2
"""The relative distance of a singular value from what is returned as a norm, at most."""
SINE_TOLERANCE = 1e-9
"""The sine of the largest angle of leading singular subspaces to the exact ones, at most."""
SINGLE = 1e-3
"""The relative error, at most, of what is computed in single precision to bound a norm."""


class Ritz(NamedTuple):
    """Approximate singular triplets of a matrix (m, n), from its restriction to a subspace of R^n.

    The leading b have `right` vectors V (n, b) in the subspace, `left` vectors U (m, b) with A V =
    U S to rounding, and the `residual` A' U - V S: (n, b). `values` (l,) are all those of the
    restriction, each at most the corresponding singular value of the matrix.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    residual: Tensor


class Triplets(NamedTuple):
    """Leading singular vectors U (m, k) and V' (k, n) of a matrix, and k + 1 or more values."""

    left: Tensor
    values: Tensor
    right_t: Tensor


def spectral_norm(matrix: Tensor) -> float:
    """Return the largest singular value of a matrix (m, n); of a large one to a percent."""
    if is_large(matrix):
        wide_enough = torch.promote_types(matrix.dtype, torch.float32)
        for ritz in ritz_triplets(matrix.to(wide_enough), 1):
            error = float(torch.linalg.vector_norm(ritz.residual[:, 0]))
            if error <= NORM_TOLERANCE * float(ritz.values[0]):
                return float(ritz.values[0])
    return float(torch.linalg.matrix_norm(matrix.double(), 2))


def leading_triplets(matrix: Tensor, k: int, rounding: float) -> Triplets | None:
    """Return the k leading singular triplets of a float64 matrix (m, n), or None if no bound on
    their error holds.

    By Wedin's theorem the sine of every angle between the subspaces and the exact ones is at most
    the norm of the residual relative to the gap between the singular values k and k + 1. They are
    also returned if the k-th value is below `rounding` relative to the first: then the rank is
    below k.
    """
    energy = float(torch.linalg.vector_norm(matrix)) ** 2
    for ritz in ritz_triplets(matrix, k):
        triplets = Triplets(ritz.left[:, :k], ritz.values, ritz.right[:, :k].mT)
        rest = max(energy - float(ritz.values.square().sum()), 0.0)
        last, following = ritz.values[k - 1 : k + 1].tolist()
        if (last**2 + rest) ** 0.5 <= rounding * float(ritz.values[0]):
            return triplets
        error = float(torch.linalg.matrix_norm(ritz.residual[:, :k]))
        middle = (last + following) / 2
        if error > SINE_TOLERANCE * (last - middle):
            continue
        of_rest = (following**2 + rest) ** 0.5
        if error <= SINE_TOLERANCE * (last - of_rest) or _is_rest_below(matrix, triplets, middle):
            return triplets
        return None
    return None


def ritz_triplets(matrix: Tensor, k: int) -> Iterator[Ritz]:
    """Yield ever better approximations to the leading k singular triplets of a matrix (m, n).

    The subspace grows by the residuals of k + 10 triplets, up to a quarter of the smaller side.
    """
    rows, columns = matrix.shape
    block = k + FURTHER
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(columns, block, generator=generator, dtype=torch.float64, device="cpu")
    new = draws.to(matrix)
    left_basis, right_basis = matrix.new_empty(rows, 0), matrix.new_empty(columns, 0)
    restricted = matrix.new_empty(0, 0)
    while right_basis.shape[1] + block <= min(rows, columns) // 4:
        new = _orthonormal_beyond(right_basis, new)
        image = matrix @ new
        right_basis = torch.cat([right_basis, new], dim=1)
        left_basis = torch.cat([left_basis, _orthonormal_beyond(left_basis, image)], dim=1)
        restricted = nn.functional.pad(restricted, (0, 0, 0, block))
        restricted = torch.cat([restricted, left_basis.mT @ image], dim=1)
        left_turn, values, right_turn_t = torch.linalg.svd(restricted)
        left = left_basis @ left_turn[:, :block]
        right = right_basis @ right_turn_t[:block].mT
        new = matrix.mT @ left - right * values[:block]
        yield Ritz(left, values, right, new)


def _orthonormal_beyond(basis: Tensor, vectors: Tensor) -> Tensor:
    """Return an orthonormal basis (n, b) of the part of `vectors` (n, b) outside the span of an
    orthonormal `basis` (n, l); twice, because rounding is large relative to a small part.
    """
    for _ in range(2):
        outside = vectors - basis @ (basis.mT @ vectors)
        vectors, _ = torch.linalg.qr(outside)
    return vectors


def _is_rest_below(matrix: Tensor, triplets: Triplets, bound: float) -> bool:
    """Return whether the norm of a matrix (m, n) without its leading triplets is below a bound.

    It is if bound^2 I - R R' has a Cholesky factorization, where R is the rest, in single
    precision.
    """
    rest = matrix - triplets.left @ (triplets.left.mT @ matrix)
    scaled = (rest / bound).float()
    if scaled.shape[0] > scaled.shape[1]:
        scaled = scaled.mT
    gram = scaled @ scaled.mT
    shifted = torch.eye(len(gram), device=gram.device) * (1 - SINGLE) - gram
    _, failed = torch.linalg.cholesky_ex(shifted)
    return not bool(failed)
