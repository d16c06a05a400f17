"""A trained low-rank MLP for inference: factors with nothing between them are multiplied."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.hooks import require_no_hooks
from lowrank_dynamics.models.low_rank import copied, in_a_row, layer_of
from lowrank_dynamics.models.submodules import (
    copy_of,
    require_own_weights,
    submodule,
    with_submodule,
)
from lowrank_dynamics.models.subspaces import in_float64


@torch.no_grad()
def merge(model: nn.Module, *, at: str = "") -> nn.Module:
    """Return an MLP that computes the same, up to rounding, without layers that directly follow one
    another.

    A low-rank MLP of L layers then has L instead of L + 2: V' goes into the first core and U into
    the last one, which makes a full matrix if L = 2. `model` stays as it is; with `at` the MLP is
    the part of it at that path, and a copy of the model is returned. Products are taken in float64,
    and trained if a factor is. Raises UserError for a model that is not a chain of layers, that has
    hooks, or that uses a weight of the part elsewhere, too.
    """
    part = submodule(model, at)
    chain = chain_of(part)
    require_no_hooks(part)
    require_own_weights(model, at, part)
    modules = OrderedDict(copied("before", chain.before))
    merged = copy_of(chain.layers[0])
    number = 1
    for layer, between in zip(chain.layers[1:], chain.after[:-1], strict=True):
        if between:
            modules[f"layer_{number}"] = merged
            modules |= copied(f"after_{number}", between)
            merged = copy_of(layer)
            number += 1
        else:
            merged = _product(merged, layer)
    modules[f"layer_{number}"] = merged
    modules |= copied(f"after_{number}", chain.after[-1])
    return with_submodule(model, at, in_a_row(modules, training=part.training))


def _product(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """Return the layer that applies `first`, then `second`."""
    weight = in_float64(second.weight) @ in_float64(first.weight)
    bias: Tensor | None = second.bias
    if first.bias is not None:
        image = in_float64(second.weight) @ in_float64(first.bias)
        bias = image if bias is None else in_float64(bias) + image
    product = layer_of(weight, bias, second.weight)
    product.weight.requires_grad_(_is_trained(first.weight, second.weight))
    if bias is not None:
        product.bias.requires_grad_(_is_trained(first.bias, second.bias))
    return product


def _is_trained(*parameters: Tensor | None) -> bool:
    return any(parameter is not None and parameter.requires_grad for parameter in parameters)
