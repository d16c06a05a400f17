"""The method for your own PyTorch model: an MLP becomes a low-rank one that starts in S_big, at any
rank r >= 2K.

This module needs no settings and no workflow. `training.watch` measures the training of such
models.
"""

import gc
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from operator import index
from typing import NamedTuple, SupportsIndex

import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.big_basis import Loss, big_basis, require_few_outputs
from lowrank_dynamics.models.chain import Chain, chain_of
from lowrank_dynamics.models.hooks import require_no_hooks
from lowrank_dynamics.models.initialization import widened_factor
from lowrank_dynamics.models.large_matrices import spectral_norm
from lowrank_dynamics.models.no_trace import buffers_kept
from lowrank_dynamics.models.submodules import (
    copy_of,
    require_own_weights,
    submodule,
    with_submodule,
)
from lowrank_dynamics.models.subspaces import in_float64, polar_factor, where_float64_is

TRAINED = 1.2
"""The `spread_of_start` above which a first layer counts as trained: training adds a few large
singular values.
"""


def low_rank(
    model: nn.Module,
    loss: Loss,
    rank: SupportsIndex | None = None,
    *,
    at: str = "",
    inplace: bool = False,
    keep_frozen: bool = False,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Return the low-rank MLP (equation 10) of width `rank` r, 2K if it is None, that starts in
    S_big of an MLP.

    The MLP is `model`, or the part of it at the path `at`, such as `classifier`: then the model is
    returned with the low-rank one in its place, a copy unless `inplace`. It has weights of its own,
    so make the optimizer afterwards. The MLP is a chain of `nn.Linear`, with or without biases, of
    any widths, any initialization and dtype, however its forward is written, with elementwise
    functions between them. Before the first layer and after the last hidden one there may be
    normalization. `loss` returns the loss of the model, a scalar, on one batch; it is called once,
    and its gradient in the first layer defines S_big, section 3.

    The layers of a low-rank MLP are V' (r x d), the cores W~_1 .. W~_{L-1} (r x r), U (m x r) and
    W_L, in an `nn.Sequential` of the dtype, on the device and in the mode of the MLP; what stands
    between layers keeps its own mode. All are trained; if `keep_frozen`, what replaces frozen
    weights or biases is not. If the weights are eps times orthonormal columns, U and V are those of
    the paper, and the cores are eps times the identity. In general a core is W_l in the bases that
    it maps to one another: U_l' W_l U_{l-1}, with U_l spanning W_l U_{l-1} and U_0 = V. So without
    activations and biases both networks agree on inputs in S_big, at r = d on all. Biases of hidden
    layers are expressed in the same bases, except the last, which acts in m dimensions.

    The columns beyond 2K are drawn from the complement of S_big by `generator`, on the CPU, or else
    by one that is the same at every call. Warns if the model seems trained, because the low-rank
    one starts from scratch, and, if `inplace`, if an optimizer has weights that are replaced.
    Raises UserError where the theory does not apply: r < 2K, r above the smallest width, K >= d/2,
    a gradient of rank below K; and for a model that is not a chain of layers, or has hooks on them,
    or an invalid loss.
    """
    part, chain = _replaceable(model, at, inplace=inplace)
    with buffers_kept(model, loss):
        factor = _input_factor(chain, loss, rank, generator)
    small = _assembled(chain, _matrices(chain, factor), training=part.training)
    if not keep_frozen:
        small.requires_grad_(True)
    if inplace:
        _warn_of_optimizers(part)
    return with_submodule(model, at, small, inplace=inplace)


def low_rank_like(
    model: nn.Module, rank: SupportsIndex | None = None, *, at: str = "", inplace: bool = False
) -> nn.Module:
    """Return the modules of `low_rank` without a loss or a batch, so that the saved state of a
    low-rank model can be loaded into them.

    The arguments are those of `low_rank`; the model may be on the meta device. Weights that
    `low_rank` computes are NaN until a state is loaded, so that a model without one cannot go
    unnoticed; all others are the model's, in its mode, and all are trained. Raises UserError as
    `low_rank` does, for a rank, K >= d/2 and a model that is not a chain of layers.
    """
    part, chain = _replaceable(model, at, inplace=inplace)
    require_few_outputs(chain)
    rank = _checked_rank(chain, rank)
    small = _assembled(chain, _placeholders(chain, rank), training=part.training)
    small.requires_grad_(True)
    if inplace:
        _warn_of_optimizers(part)
    return with_submodule(model, at, small, inplace=inplace)


def _replaceable(model: nn.Module, at: str, *, inplace: bool) -> tuple[nn.Module, Chain]:
    """Return the part of a model that is to be replaced, and its chain. Raises UserError if it
    cannot be replaced.
    """
    if inplace and not at:
        raise UserError(
            'inplace replaces a part of the model, which `at` names, such as at="classifier"'
        )
    part = submodule(model, at)
    chain = chain_of(part)
    require_no_hooks(part)
    require_own_weights(model, at, part)
    return part, chain


def _input_factor(
    chain: Chain, loss: Loss, rank: SupportsIndex | None, generator: torch.Generator | None
) -> Tensor:
    """Return V: (d, r), float64, whose first 2K columns span S_big of a chain."""
    require_few_outputs(chain)
    rank = _checked_rank(chain, rank)
    big = big_basis(chain, loss)
    times = spread_of_start(chain.layers[0].weight)
    if times > TRAINED:
        warnings.warn(
            f"the first layer's largest singular value is {times:.1f} times that of a random"
            " initialization, as if the model were trained; a low-rank network starts from scratch"
            " and keeps nothing of that: use the model as it was before training",
            stacklevel=3,
        )
    if rank == big.shape[-1]:
        return big
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    stacked = widened_factor(big.cpu().unsqueeze(0), rank, [generator])
    return stacked[0].to(big.device)


@torch.no_grad()
def spread_of_start(weight: Tensor) -> float:
    """Return sigma_1(W) relative to s (sqrt(m) + sqrt(d)), its value for independent entries of
    size s.
    """
    m, d = weight.shape
    values = where_float64_is(weight)
    norm = float(torch.linalg.vector_norm(values, dtype=torch.float64))
    size = norm / (m * d) ** 0.5
    return spectral_norm(values) / (size * (m**0.5 + d**0.5))


def _warn_of_optimizers(replaced: nn.Module) -> None:
    """Warn if there is an optimizer of weights that are replaced."""
    weights = set(map(id, replaced.parameters()))
    for thing in gc.get_objects():
        if not issubclass(type(thing), torch.optim.Optimizer):
            continue
        trained = [weight for group in thing.param_groups for weight in group["params"]]
        if not weights.isdisjoint(map(id, trained)):
            warnings.warn(
                f"an optimizer ({type(thing).__name__}) has weights that low_rank replaced, and"
                " none of the new ones, so it will not train them; make the optimizer after"
                " low_rank, from the parameters as they are then",
                stacklevel=3,
            )
            return


def _checked_rank(chain: Chain, rank: SupportsIndex | None) -> int:
    """Return the rank, by default 2K, as a number. Raises UserError if it is not from 2K to the
    smallest width.
    """
    smallest = 2 * chain.classes
    widths = [layer.out_features for layer in chain.hidden]
    largest = min(chain.dimension, *widths)
    try:
        rank = smallest if rank is None else index(rank)
    except TypeError as error:
        raise UserError(f"the rank must be a whole number; got {rank!r}") from error
    if rank < smallest:
        raise UserError(
            f"the rank must be at least 2K = {smallest}, the dimension of S_big; got {rank}"
        )
    if rank > largest:
        raise UserError(f"the rank must be at most {largest}, the smallest width; got {rank}")
    return rank


class _Matrices(NamedTuple):
    """The matrices of a low-rank MLP, and the biases (r,) of its cores, None where there is
    none.
    """

    input_factor: Tensor  # V: (d, r)
    cores: list[Tensor]  # W~_1 .. W~_{L-1}: (r, r)
    biases: list[Tensor | None]
    output_factor: Tensor  # U: (m, r)


@torch.no_grad()
def _matrices(chain: Chain, factor: Tensor) -> _Matrices:
    """Return the matrices, float64, that the weights of a chain give with V, the `factor` (d,
    r).
    """
    cores: list[Tensor] = []
    biases: list[Tensor | None] = []
    basis = factor
    for number, layer in enumerate(chain.hidden, start=1):
        image = in_float64(layer.weight) @ basis
        basis = polar_factor(image, f"layer {number}")
        cores.append(basis.mT @ image)
        biases.append(basis.mT @ in_float64(layer.bias) if _core_has_bias(chain, layer) else None)
    return _Matrices(factor, cores, biases, basis)


def _core_has_bias(chain: Chain, layer: nn.Linear) -> bool:
    """Return whether the core of a hidden layer has a bias; that of the last is one of U."""
    return layer.bias is not None and layer is not chain.hidden[-1]


def _placeholders(chain: Chain, rank: int) -> _Matrices:
    """Return matrices of the same shapes that are NaN."""
    like = chain.layers[0].weight
    cores: list[Tensor] = []
    biases: list[Tensor | None] = []
    for layer in chain.hidden:
        cores.append(like.new_full((rank, rank), torch.nan))
        bias = like.new_full((rank,), torch.nan)
        biases.append(bias if _core_has_bias(chain, layer) else None)
    width = chain.hidden[-1].out_features
    input_factor = like.new_full((chain.dimension, rank), torch.nan)
    return _Matrices(input_factor, cores, biases, like.new_full((width, rank), torch.nan))


@torch.no_grad()
def _assembled(chain: Chain, matrices: _Matrices, *, training: bool) -> nn.Sequential:
    """Return the low-rank MLP of a chain, with its modules by name, in a mode.

    Frozen are the cores of frozen weights, what represents frozen biases, and copies as they were.
    """
    modules = OrderedDict(copied("before", chain.before))
    modules["input_factor"] = layer_of(matrices.input_factor.mT, None, chain.layers[0].weight)
    for number, layer in enumerate(chain.hidden, start=1):
        like = layer.weight
        core = layer_of(matrices.cores[number - 1], matrices.biases[number - 1], like)
        core.weight.requires_grad_(layer.weight.requires_grad)
        modules[f"core_{number}"] = core
        with_bias = core
        if layer is chain.hidden[-1]:
            with_bias = layer_of(matrices.output_factor, layer.bias, like)
            modules["output_factor"] = with_bias
        if layer.bias is not None:
            with_bias.bias.requires_grad_(layer.bias.requires_grad)
        modules |= copied(f"activation_{number}", chain.after[number - 1])
    modules["last"] = copy_of(chain.layers[-1])
    modules |= copied("after", chain.after[-1])
    return in_a_row(modules, training=training)


def in_a_row(modules: OrderedDict[str, nn.Module], *, training: bool) -> nn.Sequential:
    """Return modules by name as an MLP in a mode; what stands between its layers keeps its own,
    such as a normalization that is frozen in evaluation.
    """
    row = nn.Sequential(modules)
    row.training = training
    for module in row:
        if isinstance(module, nn.Linear):
            module.training = training
    return row


def copied(prefix: str, modules: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """Return copies of modules by names, which are the prefix and a number from 0 on."""
    return {f"{prefix}_{place}": copy_of(module) for place, module in enumerate(modules)}


def layer_of(weight: Tensor, bias: Tensor | None, like: Tensor) -> nn.Linear:
    """Return a layer with these values, of the dtype and on the device of `like`."""
    rows, columns = weight.shape
    layer = nn.utils.skip_init(
        nn.Linear, columns, rows, bias=bias is not None, dtype=like.dtype, device=like.device
    )
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
