"""The method for a PyTorch model of your own: an MLP becomes a low-rank one that starts in S_big,
at any rank r >= 2K.

This module needs no settings and no workflow. `training.monitor` measures the training of such
models.
"""

import copy
import warnings
from collections import OrderedDict
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.chain import Chain, chain_of, part_of, with_part
from lowrank_dynamics.models.first_gradient import Loss, first_gradient
from lowrank_dynamics.models.initialization import widened_factor
from lowrank_dynamics.models.subspaces import big_subspace, polar_factor

TRAINED = 1.2
"""From which `spread_of_start` on a first layer is taken to be trained: training adds a few large
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
    returned with the low-rank one in its place, a copy unless `inplace`. It is a chain of
    `nn.Linear`, with or without biases, of any widths, any initialization and dtype, however its
    forward is written, with elementwise functions between them. Before the first layer and after
    the last hidden one there may be normalization. `loss` returns the loss of the model, a scalar,
    on one batch; it is called once, and its gradient in the first layer defines S_big, section 3.

    The layers of a low-rank MLP are V' (r x d), the cores W~_1 .. W~_{L-1} (r x r), U (m x r) and
    W_L, in an `nn.Sequential` of the dtype, on the device and in the mode of the MLP. All are
    trained; if `keep_frozen`, those that stand for frozen layers are not. If the weights are eps
    times orthonormal columns, U and V are those of the paper, and the cores are eps times the
    identity. In general a core is W_l in the bases that it maps to one another: U_l' W_l U_{l-1},
    with U_l spanning W_l U_{l-1} and U_0 = V. So without activations and biases both networks agree
    on inputs in S_big, at r = d on all. Biases of hidden layers are expressed in the same bases,
    except the last, which acts in m dimensions.

    The columns beyond 2K are drawn from the complement of S_big by `generator`, on the CPU, or else
    by one that is the same at every call. Warns if the model seems trained, because the low-rank
    one starts anew. Raises UserError where the theory does not apply: r < 2K, r above the smallest
    width, K >= d/2, a gradient of rank below K; and for what is no chain of layers, or an invalid
    loss.
    """
    if inplace and not at:
        raise UserError(
            'inplace replaces a part of the model, which `at` names, such as at="classifier"'
        )
    part = part_of(model, at)
    chain = chain_of(part)
    small = _started(chain, loss, rank, generator).requires_grad_(True).train(part.training)
    if keep_frozen:
        _freeze(small, chain)
    return with_part(model, at, small, inplace=inplace)


def _started(
    chain: Chain, loss: Loss, rank: SupportsIndex | None, generator: torch.Generator | None
) -> nn.Sequential:
    """Return the low-rank MLP that starts in S_big of a chain."""
    _require_few_outputs(chain)
    rank = 2 * chain.classes if rank is None else _checked_rank(chain, rank)
    big = big_basis(chain, loss)
    if (times := spread_of_start(chain.layers[0].weight)) > TRAINED:
        warnings.warn(
            f"the first layer's largest singular value is {times:.1f} times that of a random start,"
            " as if the model were trained; a low-rank network starts anew and keeps nothing of"
            " that: take the model as it was at first",
            stacklevel=3,
        )
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    factor = (
        big
        if rank == big.shape[-1]
        else widened_factor(big.cpu()[None], rank, [generator])[0].to(big.device)
    )
    return nn.Sequential(_modules(chain, factor))


@torch.no_grad()
def spread_of_start(weight: Tensor) -> float:
    """Return sigma_1(W) relative to s (sqrt(m) + sqrt(d)), its value for independent entries of
    size s.
    """
    (m, d), values = weight.shape, weight.double()
    size = float(values.square().mean().sqrt()) * (m**0.5 + d**0.5)
    return float(torch.linalg.matrix_norm(values, 2)) / size


def _freeze(small: nn.Sequential, chain: Chain) -> None:
    """Freeze what represents frozen layers: a core for a hidden one, the last layer itself."""
    for number, layer in enumerate(chain.layers, start=1):
        name = "last" if layer is chain.layers[-1] else f"core_{number}"
        small.get_submodule(name).requires_grad_(layer.weight.requires_grad)


def big_basis(chain: Chain, loss: Loss) -> Tensor:
    """Return an orthonormal basis (d, 2K) of S_big, float64, from the weights as they are and one
    gradient.

    Raises UserError where S_big is not defined: K >= d/2, a weight that is zero or not finite, a
    gradient of rank below K.
    """
    _require_few_outputs(chain)
    require_start(chain)
    weight = chain.layers[0].weight.detach().double()
    scale = float(torch.linalg.matrix_norm(weight, 2))
    return big_subspace(weight, first_gradient(chain, loss), chain.classes, scale)


def require_start(chain: Chain) -> None:
    """Raise UserError for a first layer that is zero or not finite."""
    weight = chain.layers[0].weight.detach()
    if not bool(weight.isfinite().all()) or not bool(weight.any()):
        raise UserError("the first layer's weight is zero or not finite: S_big is not defined")


def _require_few_outputs(chain: Chain) -> None:
    d, classes = chain.dimension, chain.classes
    if 2 * classes >= d:
        raise UserError(
            f"the theory needs K < d/2, and this MLP has K = {classes} outputs and d = {d} inputs"
        )


def _checked_rank(chain: Chain, rank: SupportsIndex) -> int:
    d, classes, smallest = (
        chain.dimension,
        chain.classes,
        min(layer.out_features for layer in chain.hidden),
    )
    try:
        rank = index(rank)
    except TypeError as error:
        raise UserError(f"the rank must be a whole number; it is {rank!r}") from error
    if rank < 2 * classes:
        raise UserError(
            f"the rank must be at least 2K = {2 * classes}, the dimension of S_big; it is {rank}"
        )
    if rank > min(d, smallest):
        raise UserError(
            f"the rank must be at most {min(d, smallest)}, the smallest width; it is {rank}"
        )
    return rank


@torch.no_grad()
def _modules(chain: Chain, factor: Tensor) -> "OrderedDict[str, nn.Module]":
    """Return the modules of the low-rank MLP by name; `factor` is V (d, r)."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules |= {
        f"before_{place}": copy.deepcopy(module) for place, module in enumerate(chain.before)
    }
    like = chain.layers[0].weight
    modules["input_factor"] = layer_of(factor.mT, None, like)
    basis = factor
    for number, (layer, following) in enumerate(
        zip(chain.hidden, chain.after[:-1], strict=True), start=1
    ):
        image = layer.weight.double() @ basis
        output = polar_factor(image)
        last = number == len(chain.hidden)
        bias = None if layer.bias is None or last else output.mT @ layer.bias.double()
        modules[f"core_{number}"] = layer_of(output.mT @ image, bias, like)
        if last:
            modules["output_factor"] = layer_of(output, layer.bias, like)
        modules |= {
            f"activation_{number}_{place}": copy.deepcopy(each)
            for place, each in enumerate(following)
        }
        basis = output
    modules["last"] = copy.deepcopy(chain.layers[-1])
    modules |= {
        f"after_{place}": copy.deepcopy(module) for place, module in enumerate(chain.after[-1])
    }
    return modules


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
