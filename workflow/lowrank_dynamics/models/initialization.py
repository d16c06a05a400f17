"""Initial weights: eps-scaled semi-orthogonal matrices, and the factors of the low-rank network (equation 10)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowrank_dynamics.models.subspaces import big_subspace, orthogonal_complement


def semi_orthogonal(rows: int, columns: int, generators: Sequence[torch.Generator], eps: float = 1.0) -> Tensor:
    """Draw one matrix a trial, uniform over the semi-orthogonal ones, times `eps`.

    Returns float64 of shape (trials, rows, columns): W'W = eps^2 I if rows >= columns, else W W' = eps^2 I.
    """
    draws = [
        nn.init.orthogonal_(torch.empty(rows, columns, dtype=torch.float64), gain=eps, generator=generator)
        for generator in generators
    ]
    return torch.stack(draws)


def mlp_weights(
    dimension: int,
    width: int,
    classes: int,
    depth: int,
    *,
    eps: float,
    last_eps: float,
    generators: Sequence[torch.Generator],
) -> list[Tensor]:
    """Draw W_1(0) .. W_L(0) of an MLP with `depth` = L layers, float64, stacked over one trial a generator.

    The hidden layers are `eps` times a semi-orthogonal matrix, the last one `last_eps` times one.
    """
    shapes = [(width, dimension)] + [(width, width)] * (depth - 2)
    hidden = [semi_orthogonal(rows, columns, generators, eps) for rows, columns in shapes]
    return [*hidden, semi_orthogonal(classes, width, generators, last_eps)]


def big_factors(
    hidden_weights: Sequence[Tensor], first_gradient: Tensor, classes: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Return V(0): (trials, d, 2K), a basis of S_big, and U(0): (trials, m, 2K).

    U(0) = W_{L-1}(0) ... W_1(0) V(0) / eps^{L-1}, with `hidden_weights` W_1(0) .. W_{L-1}(0).

    If m >= d the columns of U(0) are orthonormal, like those of V(0). If m < d only the rows of W_1(0) / eps are, so it
    projects S_big onto its row space: the singular values of U(0) are the cosines of the principal angles between the
    two. K of them are 1, because S_big contains W_1(0)' L_{1,1}(0); the others depend on how much of R_{1,1}(0) lies in
    the row space. The blocks of theorem 3.5 are not defined then: U_{1,2} = W_1(0) V_{1,2} / eps has p columns that
    are no longer orthonormal.
    """
    input_factor = big_subspace(hidden_weights[0], first_gradient, classes, eps)
    output_factor = input_factor
    for weight in hidden_weights:
        output_factor = weight @ output_factor / eps
    return input_factor, output_factor


def rotated_factor(factor: Tensor, degrees: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Return cos(psi) F + sin(psi) F_perp, all of whose principal angles to F are psi (figure 14).

    `factor` F: (trials, n, r), orthonormal columns, r <= n / 2. F_perp: (trials, n, r) is drawn from the complement of
    F, one draw a trial, the same for every psi.
    """
    psi = math.radians(degrees)
    return math.cos(psi) * factor + math.sin(psi) * _drawn_from_complement(factor, factor.shape[-1], generators)


def widened_factor(factor: Tensor, rank: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Return [F, F_perp]: (trials, n, r), with r - 2K further columns drawn from the complement of F (figure 15).

    `factor` F: (trials, n, 2K), 2K <= `rank` r <= n.
    """
    return torch.cat([factor, _drawn_from_complement(factor, rank - factor.shape[-1], generators)], dim=-1)


def _drawn_from_complement(factor: Tensor, columns: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw orthonormal columns (trials, n, columns) that are orthogonal to those of F: (trials, n, r), uniformly."""
    complement = orthogonal_complement(factor)
    return complement @ semi_orthogonal(complement.shape[-1], columns, generators)


def random_factors(
    dimension: int, width: int, rank: int, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Draw V(0): (trials, d, r) and U(0): (trials, m, r), random semi-orthogonal: the baseline of section 6."""
    return semi_orthogonal(dimension, rank, generators), semi_orthogonal(width, rank, generators)
