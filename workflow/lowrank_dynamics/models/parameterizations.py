"""The networks that are trained, as they are initialized: the full MLP, the low-rank MLP with
factors from S_big, from other choices and at random, and adapters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lowrank_dynamics.config.networks import Matrix
from lowrank_dynamics.models.initialization import (
    Generators,
    big_factors,
    commonly_rotated_factors,
    rotated_factor,
    semi_orthogonal,
    through_the_weights,
    uniform_like_linear,
    widened_factor,
)
from lowrank_dynamics.models.networks import MLP, AdaptedMLP, FactorizedMLP, LowRankMLP
from lowrank_dynamics.models.subspaces import polar_factor, signed_svd, top_singular_subspaces


@dataclass(frozen=True)
class Ingredients:
    """What a network may be made of: the full network at its initialization, its first gradient,
    the inputs, generators.

    `matrices` describe the network. `mlp` is the full one; `initial_gradient` computes its G_1(0):
    (trials, m, d), and `hidden_gradients` those of all hidden weights. `inputs` are X: (d, N) or
    (trials, d, N). Generators are new at each call: everything random comes from
    `factor_generators`, except what widens or rotates S_big, which comes from
    `complement_generators`, so that both factors have the same draws.
    """

    matrices: Sequence[Matrix]
    mlp: MLP
    initial_gradient: Callable[[], Tensor]
    hidden_gradients: Callable[[], Sequence[Tensor]]
    inputs: Tensor
    classes: int
    eps: float
    rotation: float
    cores: Literal["orthogonal", "identity"]
    extra_columns: Literal["drawn", "image"]
    complements: Literal["separate", "common"]
    factor_generators: Callable[[], Generators]
    complement_generators: Callable[[], Generators]

    @property
    def rank(self) -> int:
        """The rank r of a low-rank MLP: the rows of V'."""
        return self.matrices[0].rows

    @property
    def adapter_rank(self) -> int:
        """The rank r of products of two factors: the columns of B_{L-1}, before W_L."""
        return self.matrices[-2].columns

    @cached_property
    def hidden_weights(self) -> list[Tensor]:
        """W_1(0) .. W_{L-1}(0) of the full network, float64: (trials, m, n)."""
        return [weight.double() for weight in self.mlp.hidden_weights]


class Factors(NamedTuple):
    """V(0): (trials, d, r) and U(0): (trials, m, r), float64."""

    v: Tensor
    u: Tensor


def full(given: Ingredients) -> MLP:
    """Return the full network itself."""
    return given.mlp


def adapters(given: Ingredients) -> AdaptedMLP:
    """Return the full network with adapters on its frozen weights: A_l uniform as in `nn.Linear`,
    and B_l = 0, so that it computes the same at its initialization.
    """
    hidden, last = given.mlp.hidden_weights, given.mlp.weights[-1].detach()
    layers = len(hidden)
    generators = given.factor_generators()
    downward, upward = [], []
    for matrix in given.matrices[layers : 2 * layers]:
        drawn = uniform_like_linear(matrix.rows, matrix.columns, generators)
        downward.append(drawn.to(last))
    for matrix in given.matrices[2 * layers : -1]:
        zero = last.new_zeros(len(last), matrix.rows, matrix.columns)
        upward.append(zero)
    return AdaptedMLP([*hidden, last], downward, upward, given.mlp.activation)


def adapters_from_gradient(given: Ingredients) -> AdaptedMLP:
    """Return adapters as LoRA-GA initializes them: A_l has the top r right singular vectors of
    G_l(0), B_l the next r left ones, and the frozen weights are W_l(0) - B_l A_l, so that the
    network computes the same at its initialization.

    Both are scaled so that the singular values of B_l A_l are eps, those of W_l(0).
    """
    size = given.eps**0.5
    last = given.mlp.weights[-1].detach()
    frozen, downward, upward = [], [], []
    for weight, gradient in zip(given.hidden_weights, given.hidden_gradients(), strict=True):
        left, _, right_t = signed_svd(gradient.double())
        down = size * right_t[:, : given.adapter_rank]
        up = size * left[..., given.adapter_rank : 2 * given.adapter_rank]
        frozen.append((weight - up @ down).to(last))
        downward.append(down.to(last))
        upward.append(up.to(last))
    return AdaptedMLP([*frozen, last], downward, upward, given.mlp.activation)


def adapters_of_one_step(given: Ingredients) -> AdaptedMLP:
    """Return adapters as LoRA-One initializes them: B_l A_l is the best approximation of -G_l(0) of
    rank r, scaled so that its largest singular value is eps.
    """
    last = given.mlp.weights[-1].detach()
    downward, upward = [], []
    for gradient in given.hidden_gradients():
        left, values, right_t = signed_svd(gradient.double())
        roots = (given.eps * values / values[:, :1]).sqrt()[:, : given.adapter_rank]
        down = roots[..., None] * right_t[:, : given.adapter_rank]
        up = -left[..., : given.adapter_rank] * roots[:, None]
        downward.append(down.to(last))
        upward.append(up.to(last))
    return AdaptedMLP([*given.mlp.hidden_weights, last], downward, upward, given.mlp.activation)


def spectral(given: Ingredients) -> FactorizedMLP:
    """Return the network whose hidden weights are products of two factors, from the singular value
    decompositions of W_l(0) (spectral initialization, Khodak et al. 2021).

    All singular values are eps, so any orthonormal directions are singular vectors: they are drawn,
    because rounding would choose them otherwise.
    """
    root = given.eps**0.5
    last = given.mlp.weights[-1].detach()
    generators = given.factor_generators()
    downward, upward = [], []
    for weight in given.hidden_weights:
        rows, columns = weight.shape[-2:]
        drawn = semi_orthogonal(min(rows, columns), given.adapter_rank, generators).to(weight)
        if rows >= columns:
            down = root * drawn.mT
            up = weight @ drawn / root
        else:
            up = root * drawn
            down = drawn.mT @ weight / root
        downward.append(down.to(last))
        upward.append(up.to(last))
    return FactorizedMLP(downward, upward, last, given.mlp.activation)


def low_rank_mlp(
    choose: Callable[[Ingredients, Generators], Factors],
) -> Callable[[Ingredients], LowRankMLP]:
    """Turn a choice of the factors into a function that returns the low-rank MLP with them.

    Its cores W~_l(0) are the same for every choice. It has the W_L(0) of the full network that it
    is made from.
    """

    @wraps(choose)
    def build(given: Ingredients) -> LowRankMLP:
        last = given.mlp.weights[-1].detach()
        generators = given.factor_generators()
        cores = [core.to(last) for core in _cores(given, generators)]
        factors = choose(given, generators)
        v, u = factors.v.to(last), factors.u.to(last)
        return LowRankMLP(v, cores, u, last, given.mlp.activation)

    return build


def _cores(given: Ingredients, generators: Generators) -> list[Tensor]:
    """Return W~_1(0) .. W~_{L-1}(0): (trials, r, r), float64, drawn before the factors.

    They are drawn even where they are eps times the identity, so that the factors are the same.
    """
    cores = []
    for matrix in given.matrices[1:-2]:  # between V' and U
        core = semi_orthogonal(matrix.rows, matrix.columns, generators, given.eps)
        if given.cores == "identity":
            unit = torch.eye(matrix.rows, dtype=core.dtype)
            core = given.eps * unit.expand_as(core)
        cores.append(core)
    return cores


@low_rank_mlp
def s_big(given: Ingredients, _generators: Generators) -> Factors:
    """Choose S_big and its image under the weights (section 5), rotated by `rotation` or widened to
    `rank` columns.
    """
    return _of_s_big(given)


@low_rank_mlp
def random(given: Ingredients, generators: Generators) -> Factors:
    """Choose two random semi-orthogonal factors, the paper's baseline."""
    v = _random_v(given, generators)
    u = _random_u(given, generators)
    return Factors(v, u)


@low_rank_mlp
def gradient(given: Ingredients, _generators: Generators) -> Factors:
    """Choose the top r right singular vectors of G_1(0)."""
    _, _, right_t = signed_svd(given.initial_gradient().double())
    return _with_image(given, right_t[:, : given.rank].mT)


@low_rank_mlp
def principal_components(given: Ingredients, _generators: Generators) -> Factors:
    """Choose the top r principal components of the inputs."""
    inputs = given.inputs.double()
    centered = inputs - inputs.mean(dim=-1, keepdim=True)
    left, _, _ = signed_svd(centered)
    components = left[..., : given.rank]
    return _with_image(given, components.expand(given.mlp.trials, -1, -1))


@low_rank_mlp
def s_big_right(given: Ingredients, generators: Generators) -> Factors:
    """Choose one half of S_big, R_{1,1}(0), and random columns from its complement."""
    _, right = _top_singular_subspaces(given)
    return _with_image(given, widened_factor(right.cpu(), given.rank, generators))


@low_rank_mlp
def s_big_left(given: Ingredients, generators: Generators) -> Factors:
    """Choose the other half, W_1(0)' L_{1,1}(0), and random columns from its complement."""
    left, _ = _top_singular_subspaces(given)
    basis = polar_factor(given.hidden_weights[0].mT @ left)
    return _with_image(given, widened_factor(basis.cpu(), given.rank, generators))


@low_rank_mlp
def s_big_inputs(given: Ingredients, generators: Generators) -> Factors:
    """Choose V of S_big and a random U."""
    return Factors(_of_s_big(given).v, _random_u(given, generators))


@low_rank_mlp
def s_big_outputs(given: Ingredients, generators: Generators) -> Factors:
    """Choose a random V and U of S_big."""
    return Factors(_random_v(given, generators), _of_s_big(given).u)


@low_rank_mlp
def propagated(given: Ingredients, generators: Generators) -> Factors:
    """Choose a random V and its image under the weights."""
    return _with_image(given, _random_v(given, generators))


def _of_s_big(given: Ingredients) -> Factors:
    """Return the factors of S_big, rotated by `rotation` or widened to `rank` columns."""
    gradient = given.initial_gradient()
    v, u = big_factors(given.hidden_weights, gradient, given.classes, given.eps)
    narrow = Factors(v.cpu(), u.cpu())
    if given.rank > 2 * given.classes:
        return _widened(given, narrow)
    return _rotated(given, narrow)


def _widened(given: Ingredients, narrow: Factors) -> Factors:
    """Return the factors of S_big with `rank` columns (figure 15)."""
    v = widened_factor(narrow.v, given.rank, given.complement_generators())
    if given.extra_columns == "image":
        extra = v[..., narrow.v.shape[-1] :]
        image = _with_image(given, extra).u
        return Factors(v, torch.cat([narrow.u, image.cpu()], dim=-1))
    basis = _basis_of(narrow)
    wide = widened_factor(basis, given.rank, given.complement_generators())
    u = torch.cat([narrow.u, wide[..., basis.shape[-1] :]], dim=-1)
    return Factors(v, u)


def _basis_of(factors: Factors) -> Tensor:
    """Return orthonormal columns that span the same as U: U itself unless m < d, see
    `big_factors`.
    """
    inputs, outputs = factors.v.shape[-2], factors.u.shape[-2]
    return factors.u if outputs >= inputs else polar_factor(factors.u)


def _rotated(given: Ingredients, narrow: Factors) -> Factors:
    """Return the factors of S_big, rotated by `rotation` (figure 14)."""
    if given.complements == "common":
        generators = given.complement_generators()
        return Factors(*commonly_rotated_factors(*narrow, given.rotation, generators))
    v = rotated_factor(narrow.v, given.rotation, given.complement_generators())
    u = rotated_factor(narrow.u, given.rotation, given.complement_generators())
    return Factors(v, u)


def _top_singular_subspaces(given: Ingredients) -> tuple[Tensor, Tensor]:
    """Return L_{1,1}(0): (trials, m, K) and R_{1,1}(0): (trials, d, K), float64."""
    gradient = given.initial_gradient()
    return top_singular_subspaces(gradient, given.classes, torch.float64)


def _random_v(given: Ingredients, generators: Generators) -> Tensor:
    transposed = given.matrices[0]
    return semi_orthogonal(transposed.columns, transposed.rows, generators)


def _random_u(given: Ingredients, generators: Generators) -> Tensor:
    output_factor = given.matrices[-2]
    return semi_orthogonal(output_factor.rows, output_factor.columns, generators)


def _with_image(given: Ingredients, v: Tensor) -> Factors:
    """Return V and U = W_{L-1}(0) .. W_1(0) V / eps^{L-1}, as for S_big."""
    v = v.to(given.hidden_weights[0].device)
    return Factors(v, through_the_weights(given.hidden_weights, v, given.eps))
