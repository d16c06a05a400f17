"""The stacks of convolutions by name: VGG-16's, and a tiny one for runs that only show that the code works.

This module imports no torch, so that settings are checked quickly.
"""

from dataclasses import dataclass
from itertools import accumulate

POOL = 0
"""Stands for a 2 x 2 max-pooling among the numbers of channels."""


@dataclass(frozen=True)
class Stack:
    """3 x 3 convolutions, each followed by ReLU: the output channels of each, and where pooling comes between them.

    `pretrained` says whether its weights are fetched; those of the others are made up, the same at every call.
    """

    layers: tuple[int, ...]
    pretrained: bool

    @property
    def channels(self) -> int:
        """The number of channels that come out."""
        return next(layer for layer in reversed(self.layers) if layer != POOL)

    @property
    def convolutions(self) -> list[str]:
        """The names of the convolutions as torchvision has them, such as `features.0`, in their order.

        The number counts every convolution, every ReLU after one, and every pooling.
        """
        widths = [1 if layer == POOL else 2 for layer in self.layers]
        places = accumulate(widths[:-1], initial=0)
        return [f"features.{place}" for place, layer in zip(places, self.layers, strict=True) if layer != POOL]

    @property
    def halvings(self) -> int:
        """How often the side of an image is halved."""
        return self.layers.count(POOL)


STACKS = {
    "vgg16": Stack(
        layers=(64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL),
        pretrained=True,
    ),
    "tiny": Stack(layers=(8, POOL, 24, POOL), pretrained=False),
}
