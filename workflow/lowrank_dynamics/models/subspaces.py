"""The linear algebra of section 2 and theorem 3.5: S_big and S_small, block decomposition,
principal angles.

Every function takes matrices with any leading batch axes (the stacked trials), and keeps their
device and, unless it says otherwise, their dtype.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lowrank_dynamics.errors import UserError

LARGE = 1024
"""The smaller side of a matrix up to which it is decomposed as a whole; all at laptop scale are."""
SMALLEST_SINE = 1e-10
"""The sine of an angle below which two directions count as one."""
ROUNDING = 10.0
"""How many units of its precision, relative to the largest, the singular values of a gradient are
exact to.
"""
APART = 100.0
"""How many times as much two of them must differ to be distinguished reliably; half precision has
no two digits to spare.
"""


class RankTooLowError(UserError):
    """A gradient has rank below K, so S_big is not defined; `rank` is its rank, to rounding."""

    def __init__(self, rank: int, k: int) -> None:
        super().__init__(
            f"the gradient has rank below K = {k}, only {rank}, and S_big is not defined; take a"
            " batch with more samples, some of every class, and a loss that uses every output"
        )
        self.rank = rank


class LayerBases(NamedTuple):
    """Orthogonal U_l = [U_{l,1} U_{l,2}] and V_l = [V_{l,1} V_{l,2}] of one layer, of shape m x
    n.
    """

    u1: Tensor  # (..., m, m-p)
    u2: Tensor  # (..., m, p)
    v1: Tensor  # (..., n, n-p)
    v2: Tensor  # (..., n, p)


def in_float64(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on its device or, where that has no float64, on the CPU."""
    return where_float64_is(tensor).double()


def where_float64_is(tensor: Tensor) -> Tensor:
    """Return a tensor on its device or, where that has no float64, on the CPU; its dtype stays."""
    return tensor if _has_float64(tensor.device) else tensor.cpu()


def _has_float64(device: torch.device) -> bool:
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):  # as Apple's and some of Intel's GPUs raise
        return False
    return True


def orthogonal_complement(basis: Tensor) -> Tensor:
    """Return an orthonormal basis (..., n, n-k) of the complement of the span of `basis` (..., n,
    k).
    """
    complete, _ = torch.linalg.qr(basis, mode="complete")
    return complete[..., basis.shape[-1] :]


def is_large(matrix: Tensor) -> bool:
    """Return whether a matrix (..., m, n) is too large to be decomposed as a whole."""
    return min(matrix.shape[-2:]) > LARGE


def signed_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition U, S, V' of a matrix (..., m, n), the same on
    every machine.

    Each pair of singular vectors is defined up to its sign, which rounding may decide: here the
    entry of the right one that is largest in absolute value is positive.
    """
    left, values, right_t = torch.linalg.svd(matrix, full_matrices=False)
    signs = _signs(right_t)
    return left * signs.mT, values, right_t * signs


def _signs(right_t: Tensor) -> Tensor:
    """Return the signs (..., k, 1) that make the largest entry of each row of V' (..., k, n)
    positive.
    """
    largest = right_t.abs().argmax(dim=-1, keepdim=True)
    return right_t.gather(-1, largest).sign()


def top_singular_subspaces(
    matrix: Tensor, k: int, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Return orthonormal bases (..., m, k) and (..., n, k) of a gradient's top-k left and right
    singular subspaces.

    They are of the given `dtype`, or that of `matrix`, which tells how exact its numbers are.
    Those of a large matrix are exact to 1e-9, see `large_matrices`. Raises UserError if its rank,
    to rounding, is below k, because then the subspaces are not defined; warns if rounding decides
    their directions.
    """
    dtype = dtype or matrix.dtype
    if is_large(matrix):
        left, values, right_t = _stacked_triplets(matrix, k, dtype)
    else:
        left, values, right_t = signed_svd(matrix.to(dtype))
    rounding = ROUNDING * torch.finfo(matrix.dtype).eps * values[..., 0]
    _require_rank(values, k, rounding)
    if values.shape[-1] > k:
        apart = rounding if torch.finfo(matrix.dtype).bits < 32 else APART * rounding
        _warn_of_equal_values(values, k, apart)
    return left[..., :k], right_t[..., :k, :].mT


def _stacked_triplets(matrix: Tensor, k: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return U (..., m, k), the k + 1 largest values and V' (..., k, n) of a large matrix.

    Each trial is decomposed alone, in float64 and in memory of its own, so that its numbers do not
    depend on the others.
    """
    from lowrank_dynamics.models.large_matrices import leading_triplets  # loaded only where needed

    rounding = ROUNDING * torch.finfo(matrix.dtype).eps
    parts = []
    for trial in matrix.reshape(-1, *matrix.shape[-2:]):
        exact = trial.to(torch.float64, copy=True, memory_format=torch.contiguous_format)
        triplets = leading_triplets(exact, k, rounding)
        left, values, right_t = triplets or torch.linalg.svd(exact, full_matrices=False)
        signs = _signs(right_t[:k])
        parts.append((left[:, :k] * signs.mT, values[: k + 1], right_t[:k] * signs))
    stacked = []
    for part in zip(*parts, strict=True):
        whole = torch.stack(part).to(dtype)
        stacked.append(whole.reshape(*matrix.shape[:-2], *whole.shape[1:]))
    left, values, right_t = stacked
    return left, values, right_t


def _require_rank(values: Tensor, k: int, rounding: Tensor) -> None:
    """Require that at least k of the singular values are above rounding, in every trial."""
    ranks = (values > rounding.unsqueeze(-1)).sum(dim=-1)
    rank = int(ranks.min())
    if rank < k:
        raise RankTooLowError(rank, k)


def _warn_of_equal_values(values: Tensor, k: int, apart: Tensor) -> None:
    """Warn if the k-th singular value is not `apart` from the next, in some trial."""
    gap = values[..., k - 1] - values[..., k]
    if bool((gap <= apart).any()):
        warnings.warn(
            f"the singular values {k} and {k + 1} of the gradient are equal to two digits of its"
            " rounding, which decides what directions S_big has; another batch may separate them",
            stacklevel=3,
        )


def big_subspace(weight: Tensor, gradient: Tensor, classes: int, eps: float) -> Tensor:
    """Return an orthonormal basis (..., d, 2K) of S_big = span[R_{1,1}(0), W_1(0)' L_{1,1}(0) /
    eps].

    `weight` is W_1(0) and `gradient` G_1(0), in the dtype that it was computed in, both (..., m,
    d); `classes` is K. The basis is of the dtype of the weight, and as continuous in the gradient
    as the two halves are, because rounding does not decide its signs. Raises UserError if the span
    has fewer than 2K dimensions.
    """
    left, right = top_singular_subspaces(gradient, classes, weight.dtype)
    halves = torch.cat([right, weight.mT @ left / eps], dim=-1)
    basis, triangle = torch.linalg.qr(halves)
    diagonal = triangle.diagonal(dim1=-2, dim2=-1)
    if bool((diagonal.abs() <= SMALLEST_SINE).any()):
        raise UserError(
            f"S_big has fewer than 2K = {2 * classes} dimensions: its two halves intersect"
        )
    return basis * diagonal.sign().unsqueeze(-2)


def polar_factor(matrix: Tensor, of: str = "a matrix") -> Tensor:
    """Return the matrix (..., m, k), m >= k, with orthonormal columns that is nearest to `matrix`,
    of the same span.

    It is `matrix` / eps if the columns are orthogonal, of length eps. Raises UserError for a span
    of fewer dimensions, and calls what maps to it `of`.
    """
    rows, columns = matrix.shape[-2:]
    left, values, right_t = torch.linalg.svd(matrix, full_matrices=False)
    smallest, largest = values[..., -1], values[..., 0]
    if rows < columns or bool((smallest <= SMALLEST_SINE * largest).any()):
        raise UserError(
            f"{of} maps a subspace of {columns} dimensions to one of fewer; take other initial"
            " weights, or a smaller rank"
        )
    return left @ right_t


def layer_bases(
    hidden_weights: Sequence[Tensor], big: Tensor, eps: float | None = None
) -> list[LayerBases]:
    """Propagate the complement of S_big through the layers: V_{l,2} = U_{l-1,2}, U_{l,2} = W_l(0)
    V_{l,2} / eps.

    `hidden_weights` are W_1(0) .. W_{L-1}(0), each eps times a matrix with orthonormal columns;
    `big` spans S_big. If `eps` is None they may be any, and U_{l,2} is the polar factor of W_l(0)
    V_{l,2}.
    """
    bases = []
    v1, v2 = big, orthogonal_complement(big)
    for number, weight in enumerate(hidden_weights, start=1):
        image = weight @ v2
        u2 = polar_factor(image, f"layer {number}") if eps is None else image / eps
        u1 = orthogonal_complement(u2)
        bases.append(LayerBases(u1, u2, v1, v2))
        v1, v2 = u1, u2
    return bases


def blocks(weight: Tensor, bases: LayerBases) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the blocks W~_{l,1} .. W~_{l,4} of U_l' W_l V_l, in the paper's order: 11, 12, 21,
    22.
    """
    upper = bases.u1.mT @ weight
    lower = bases.u2.mT @ weight
    return upper @ bases.v1, upper @ bases.v2, lower @ bases.v1, lower @ bases.v2


def block_shares(change: Tensor, bases: LayerBases) -> Tensor:
    """Return each block's share (..., 4) of the squared Frobenius norm of W_l(t) - W_l(0), the
    `change`; NaN if 0.

    Exact even for a block smaller than the rounding of the whole, as figures on a logarithmic scale
    need.
    """
    squared_norms = [_squared_norm(block) for block in blocks(change, bases)]
    energies = torch.stack(squared_norms, dim=-1)
    return energies / energies.sum(dim=-1, keepdim=True)


def block_shares_by_norms(change: Tensor, bases: LayerBases) -> Tensor:
    """Return the same as `block_shares`, to rounding, from products with V_{l,1} and the narrower
    part of U_l alone.

    The squared norm of a matrix is the sum of those of its blocks. So a layer of d x d needs one
    product instead of four, and that one has 2K columns.
    """
    inside = change @ bases.v1
    narrow_is_first = bases.u1.shape[-1] <= bases.u2.shape[-1]
    narrow = bases.u1 if narrow_is_first else bases.u2
    whole = _squared_norm(change)
    column = _squared_norm(inside)  # blocks 1 and 3
    row = _squared_norm(narrow.mT @ change)  # blocks 1 and 2, or 3 and 4
    corner = _squared_norm(narrow.mT @ inside)  # block 1 or 3
    if narrow_is_first:
        upper, upper_left = row, corner
    else:
        upper, upper_left = whole - row, column - corner
    upper_right = upper - upper_left
    lower_left = column - upper_left
    lower_right = whole - column - upper + upper_left
    energies = torch.stack([upper_left, upper_right, lower_left, lower_right], dim=-1)
    return energies.clamp(min=0) / whole.unsqueeze(-1)


def _squared_norm(matrix: Tensor) -> Tensor:
    return matrix.square().sum(dim=(-2, -1))


def principal_angles(first: Tensor, second: Tensor) -> Tensor:
    """Return the principal angles (..., k) between the spans of orthonormal bases (..., n, k),
    ascending, in radians.

    theta_i = arccos sigma_i(U1' U2), but taken from the sines where theta < 45 degrees: there
    arccos would lose half of the digits (Knyazev and Argentati, 2002).
    """
    overlap = first.mT @ second
    outside = second - first @ overlap
    sines = torch.linalg.svdvals(outside).flip(-1).clamp(max=1.0)
    if bool((sines < 0.5**0.5).all()):
        return sines.asin()
    cosines = torch.linalg.svdvals(overlap).clamp(max=1.0)
    return torch.where(cosines > sines, sines.asin(), cosines.acos())


def sine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return ||sin Theta||_2 = sqrt(sum_i sin^2 theta_i) between the spans of orthonormal bases
    (..., n, k).
    """
    outside = second - first @ (first.mT @ second)
    return torch.linalg.matrix_norm(outside)
