"""Initial weights: eps-scaled semi-orthogonal matrices, and the factors of the low-rank network
(equation 10).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowrank_dynamics.config.networks import Matrix
from lowrank_dynamics.models.subspaces import big_subspace, polar_factor

Generators = Sequence[torch.Generator]
"""One a trial."""


def _empty(*shape: int) -> Tensor:
    """Return a tensor where generators are, whatever torch's default device is."""
    return torch.empty(*shape, dtype=torch.float64, device="cpu")


def semi_orthogonal(rows: int, columns: int, generators: Generators, eps: float = 1.0) -> Tensor:
    """Draw one matrix per trial, uniform over the semi-orthogonal ones, times `eps`.

    Returns float64 of shape (trials, rows, columns): W'W = eps^2 I if rows >= columns, else W W' =
    eps^2 I.
    """
    matrices = _empty(len(generators), rows, columns)
    for matrix, generator in zip(matrices, generators, strict=True):
        nn.init.orthogonal_(matrix, gain=eps, generator=generator)
    return matrices


def uniform_like_linear(rows: int, columns: int, generators: Generators) -> Tensor:
    """Draw one matrix per trial, uniform as `nn.Linear` initializes its weight.

    Returns float64 of shape (trials, rows, columns).
    """
    matrices = _empty(len(generators), rows, columns)
    for matrix, generator in zip(matrices, generators, strict=True):
        nn.init.kaiming_uniform_(matrix, a=math.sqrt(5), generator=generator)
    return matrices


def mlp_weights(
    matrices: Sequence[Matrix], *, eps: float, last_eps: float, generators: Generators
) -> list[Tensor]:
    """Draw W_1(0) .. W_L(0), which `matrices` describe, stacked: semi-orthogonal times `eps`, and
    the last one times `last_eps`.
    """
    *hidden, last = matrices
    weights = []
    for matrix in hidden:
        weight = semi_orthogonal(matrix.rows, matrix.columns, generators, eps)
        weights.append(weight)
    last_weight = semi_orthogonal(last.rows, last.columns, generators, last_eps)
    return [*weights, last_weight]


def big_factors(
    hidden_weights: Sequence[Tensor], gradient: Tensor, classes: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Return V(0): (trials, d, 2K), a basis of S_big, and U(0) = W_{L-1} .. W_1 V / eps^{L-1} at 0:
    (trials, m, 2K), from W_1(0) .. W_{L-1}(0) and the `gradient` G_1(0).

    If m >= d the columns of U(0) are orthonormal, like those of V(0). If m < d only the rows of
    W_1(0) / eps are, so it projects S_big onto its row space: the singular values of U(0) are the
    cosines of the principal angles between the two. K of them are 1, because S_big contains W_1(0)'
    L_{1,1}(0); the others depend on how much of R_{1,1}(0) lies in the row space. The blocks of
    theorem 3.5 are not defined then, for W_1(0) V_{1,2} / eps is not orthonormal.
    """
    input_factor = big_subspace(hidden_weights[0], gradient, classes, eps)
    return input_factor, through_the_weights(hidden_weights, input_factor, eps)


def through_the_weights(
    hidden_weights: Sequence[Tensor], input_factor: Tensor, eps: float
) -> Tensor:
    """Return W_{L-1} .. W_1 V / eps^{L-1} at 0: (trials, m, r), for a factor V: (trials, d, r)."""
    output_factor = input_factor
    for weight in hidden_weights:
        output_factor = weight @ output_factor / eps
    return output_factor


def widened_factor(factor: Tensor, rank: int, generators: Generators) -> Tensor:
    """Return [F, F_perp]: (trials, n, r), with r - 2K further columns drawn from the complement of
    F (figure 15).

    `factor` F: (trials, n, 2K), orthonormal columns, 2K < `rank` r <= n. F_perp is uniform over the
    orthonormal columns of the complement, and depends on the span of F alone.
    """
    draws = semi_orthogonal(factor.shape[-2], rank - factor.shape[-1], generators)
    inside = factor @ (factor.mT @ draws)
    perpendicular = polar_factor(draws - inside)
    return torch.cat([factor, perpendicular], dim=-1)


def rotated_factor(factor: Tensor, degrees: float, generators: Generators) -> Tensor:
    """Return cos(psi) F + sin(psi) F_perp, all of whose principal angles to F are psi (figure 14).

    `factor` F: (trials, n, r), orthonormal columns, r <= n / 2. F_perp is the same draw for every
    psi.
    """
    rank = factor.shape[-1]
    perpendicular = widened_factor(factor, 2 * rank, generators)[..., rank:]
    return _toward(factor, perpendicular, degrees)


def commonly_rotated_factors(
    v: Tensor, u: Tensor, degrees: float, generators: Generators
) -> tuple[Tensor, Tensor]:
    """Return the same of V and U: (trials, n, r), r <= n / 3, with one F_perp that is orthogonal to
    both.

    It is made from the same draw as that of `rotated_factor`.
    """
    rank = v.shape[-1]
    both, _ = torch.linalg.qr(torch.cat([v, u], dim=-1))
    perpendicular = widened_factor(both, 3 * rank, generators)[..., 2 * rank :]
    return _toward(v, perpendicular, degrees), _toward(u, perpendicular, degrees)


def _toward(factor: Tensor, perpendicular: Tensor, degrees: float) -> Tensor:
    """Return cos(psi) F + sin(psi) F_perp."""
    psi = math.radians(degrees)
    return math.cos(psi) * factor + math.sin(psi) * perpendicular
