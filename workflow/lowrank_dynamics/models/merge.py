"""A trained low-rank MLP for inference: factors with nothing between them are multiplied."""

import copy
from collections import OrderedDict

import torch
from torch import nn

from lowrank_dynamics.models.chain import chain_of, part_of, with_part
from lowrank_dynamics.models.low_rank import layer_of


@torch.no_grad()
def merge(model: nn.Module, *, at: str = "") -> nn.Module:
    """Return an MLP of the same function, up to rounding, in which something stands between any two
    layers.

    A low-rank MLP of L layers then has L instead of L + 2: V' goes into the first core and U into
    the last one, which makes a full matrix if L = 2. `model` stays as it is; with `at` the MLP is
    the part of it at that path, and a copy of the model is returned. Products are taken in float64.
    Raises UserError for what is no chain of layers.
    """
    part = part_of(model, at)
    chain = chain_of(part)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules |= {
        f"before_{index}": copy.deepcopy(module) for index, module in enumerate(chain.before)
    }
    layer, number = copy.deepcopy(chain.layers[0]), 1
    for following, between in zip([*chain.layers[1:], None], chain.after, strict=True):
        if following is not None and not between:
            layer = _product(layer, following)
            continue
        modules[f"layer_{number}"] = layer
        modules |= {
            f"after_{number}_{index}": copy.deepcopy(module) for index, module in enumerate(between)
        }
        layer, number = copy.deepcopy(following) if following is not None else layer, number + 1
    return with_part(model, at, nn.Sequential(modules).train(part.training))


def _product(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """Return the layer that applies `first`, then `second`."""
    weight = second.weight.double() @ first.weight.double()
    bias = None if first.bias is None else second.weight.double() @ first.bias.double()
    if second.bias is not None:
        bias = second.bias.double() + (0 if bias is None else bias)
    return layer_of(weight, bias, second.weight)
