"""Convolutions as a module, with the names that torchvision gives its weights, and the inputs that
they expect.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowrank_dynamics.config.registries import CONVOLUTIONS, POOL
from lowrank_dynamics.errors import UserError

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
"""Of red, green and blue values, in [0, 1], of ImageNet: what the weights of VGG-16 expect."""


def make_convolutions(name: str, values: Mapping[str, Tensor] | None = None) -> nn.Sequential:
    """Return the convolutions called `name`, frozen. Raises UserError for pretrained ones without
    their `values`.

    The others get random weights that preserve the scale of activations through ReLU (He et al.,
    2015), and zero biases.
    """
    entry = CONVOLUTIONS[name]
    modules: list[nn.Module] = []
    channels = 3
    for layer in entry.layers:
        if layer == POOL:
            modules.append(nn.MaxPool2d(2))
        else:
            convolution = nn.utils.skip_init(nn.Conv2d, channels, layer, kernel_size=3, padding=1)
            modules += [convolution, nn.ReLU()]
            channels = layer
    convolutions = nn.Sequential(OrderedDict(features=nn.Sequential(*modules)))
    convolutions.requires_grad_(False)
    if not entry.pretrained:
        _initialize(convolutions)
    elif values is None:
        raise UserError(
            f"the convolutions {name} need their pretrained weights; name the folder of `fetch`"
            " with --weights"
        )
    else:
        convolutions.load_state_dict(values)
    return convolutions


def _initialize(convolutions: nn.Module) -> None:
    """Draw the weights, the same at every call, and set the biases to zero."""
    generator = torch.Generator().manual_seed(0)
    for value in convolutions.parameters():
        if value.ndim == 1:
            nn.init.zeros_(value)
        else:
            nn.init.kaiming_normal_(value, generator=generator)


def as_input(images: Tensor, size: int) -> Tensor:
    """Return images as convolutions take them: RGB, (n, 3, size, size), bilinearly resized, with
    the scale of ImageNet.

    `images`: (n, 1, rows, columns), gray, or (n, 3, rows, columns), floating point in [0, 1].
    """
    resized = functional.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False
    )
    return (resized - MEAN.to(images)) / DEVIATION.to(images)


def pooled(convolutions: Callable[[Tensor], Tensor], inputs: Tensor, pool: int) -> Tensor:
    """Return features (n, channels * pool^2) of inputs (n, 3, size, size): the maps, averaged in
    pool^2 cells.

    A map with fewer than `pool` places per side is repeated rather than averaged.
    """
    maps = convolutions(inputs)
    if maps.is_cuda:  # in another layout the backward pass adds in an order that varies
        maps = maps.contiguous(memory_format=torch.channels_last)
    return functional.adaptive_avg_pool2d(maps, pool).flatten(1)
