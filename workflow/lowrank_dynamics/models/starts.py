"""The starts of a low-rank network: factors V(0) and U(0) from S_big, from other choices, and at
random.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lowrank_dynamics.models.initialization import (
    Generators,
    big_factors,
    rotated_factor,
    semi_orthogonal,
    through_the_weights,
    widened_factor,
)
from lowrank_dynamics.models.subspaces import polar_factor, signed_svd, top_singular_subspaces


class Given(NamedTuple):
    """What a start may use: the full network at its initialization, its first gradient, the inputs,
    generators.

    `hidden` are W_1(0) .. W_{L-1}(0), float64: (trials, m, n); `gradient` computes G_1(0): (trials,
    m, d); `inputs` X: (d, N) or (trials, d, N). Everything random comes from `factors`, except for
    what widens or rotates S_big, which comes from the generators that `complement` makes anew at
    each call, so that both factors have the same draws.
    """

    hidden: Sequence[Tensor]
    gradient: Callable[[], Tensor]
    inputs: Tensor
    classes: int
    eps: float
    rank: int
    rotation: float
    factors: Generators
    complement: Callable[[], Generators]


class Factors(NamedTuple):
    """V(0): (trials, d, r) and U(0): (trials, m, r), float64."""

    v: Tensor
    u: Tensor


def s_big(given: Given) -> Factors:
    """Return S_big and its image under the weights (section 5), rotated by `rotation` or widened to
    `rank` columns.
    """
    big = big_factors(given.hidden, given.gradient(), given.classes, given.eps)
    return Factors(*(_beyond_big(given, factor.cpu()) for factor in big))


def random(given: Given) -> Factors:
    """Return two random semi-orthogonal factors, the paper's baseline."""
    return Factors(_random_v(given), _random_u(given))


def gradient(given: Given) -> Factors:
    """Return the top r right singular vectors of G_1(0)."""
    _, _, right_t = signed_svd(given.gradient().double())
    return _through_the_weights(given, right_t[:, : given.rank].mT)


def principal_components(given: Given) -> Factors:
    """Return the top r principal components of the inputs."""
    centered = given.inputs.double() - given.inputs.double().mean(dim=-1, keepdim=True)
    left, _, _ = signed_svd(centered)
    components = left[..., : given.rank]
    return _through_the_weights(given, components.expand(len(given.hidden[0]), -1, -1))


def s_big_right(given: Given) -> Factors:
    """Return one half of S_big, R_{1,1}(0), and random columns from its complement."""
    _, right = top_singular_subspaces(given.gradient(), given.classes, torch.float64)
    return _through_the_weights(given, widened_factor(right.cpu(), given.rank, given.factors))


def s_big_left(given: Given) -> Factors:
    """Return the other half of S_big, W_1(0)' L_{1,1}(0), and random columns from its
    complement.
    """
    left, _ = top_singular_subspaces(given.gradient(), given.classes, torch.float64)
    basis = polar_factor(given.hidden[0].mT @ left)
    return _through_the_weights(given, widened_factor(basis.cpu(), given.rank, given.factors))


def s_big_inputs(given: Given) -> Factors:
    """Return V of S_big and a random U."""
    return Factors(s_big(given).v, _random_u(given))


def s_big_outputs(given: Given) -> Factors:
    """Return a random V and U of S_big."""
    return Factors(_random_v(given), s_big(given).u)


def propagated(given: Given) -> Factors:
    """Return a random V and its image under the weights."""
    return _through_the_weights(given, _random_v(given))


def _beyond_big(given: Given, factor: Tensor) -> Tensor:
    """Return a factor (trials, n, 2K) of S_big, rotated by `rotation` or widened to `rank`
    columns.
    """
    if given.rank > factor.shape[-1]:
        return widened_factor(factor, given.rank, given.complement())
    return rotated_factor(factor, given.rotation, given.complement())


def _random_v(given: Given) -> Tensor:
    return semi_orthogonal(given.hidden[0].shape[-1], given.rank, given.factors)


def _random_u(given: Given) -> Tensor:
    return semi_orthogonal(given.hidden[-1].shape[-2], given.rank, given.factors)


def _through_the_weights(given: Given, v: Tensor) -> Factors:
    """Return V and U = W_{L-1}(0) .. W_1(0) V / eps^{L-1}, as for S_big."""
    v = v.to(given.hidden[0].device)
    return Factors(v, through_the_weights(given.hidden, v, given.eps))
