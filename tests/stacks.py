"""MLPs of your own, as PyTorch makes them, with a batch and a loss."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowrank_dynamics.models.big_basis import Loss
from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.networks import MLP


def mlp(
    *widths: int,
    bias: bool = True,
    activation: Callable[[], nn.Module] = nn.GELU,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> nn.Sequential:
    """Return an MLP with PyTorch's own kind of initialization, drawn from a generator."""
    generator = torch.Generator().manual_seed(seed)
    modules: list[nn.Module] = []
    for columns, rows in pairwise(widths):
        layer = nn.Linear(columns, rows, bias=bias, dtype=dtype)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -(columns**-0.5), columns**-0.5, generator=generator)
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def of_weights(network: MLP) -> nn.Sequential:
    """Return the first trial of one of the workflow's networks as an ordinary module with ELU."""
    modules: list[nn.Module] = []
    for weight in network.weights:
        layer = nn.Linear(weight.shape[2], weight.shape[1], bias=False, dtype=torch.float64)
        layer.weight.data.copy_(weight[0])
        modules += [layer, nn.ELU()]
    return nn.Sequential(*modules[:-1])


def batch(model: nn.Sequential, samples: int = 40) -> tuple[Tensor, Tensor]:
    stack, generator = chain_of(model), torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, stack.dimension, generator=generator, dtype=torch.float64)
    labels = torch.randint(stack.classes, (samples,), generator=generator)
    return inputs.to(stack.layers[0].weight.dtype), labels


def loss_of(model: nn.Sequential) -> Loss:
    inputs, labels = batch(model)
    targets = functional.one_hot(labels, chain_of(model).classes).to(inputs.dtype)
    return lambda: (model(inputs) - targets).square().sum() / 2
