"""The parts in which features are computed and stored: which images each has, and how many pass
through together.
"""

from typing import NamedTuple

from lowrank_dynamics.errors import UserError

IMAGES_A_PART = 2_000
"""Images whose features one job computes: at 224 pixels 6 to 15 minutes of a CPU core."""
PIXELS_ON_CPU, PIXELS_ON_GPU = 2**17, 2**22
"""Pixels that pass through convolutions together: on a CPU as many as its cache holds, on a GPU as
many as fill it.
"""


class Part(NamedTuple):
    """The images of a split whose features are in one file, from the index `first` to `last`."""

    split: str
    first: int
    last: int

    @classmethod
    def named(cls, name: str) -> "Part":
        """Return the part that has a name. Raises UserError for any other text."""
        split, _, numbers = name.partition("-")
        first, _, last = numbers.partition("-")
        known = split in ("train", "test") and first.isdecimal() and last.isdecimal()
        if not known or int(first) > int(last):
            raise UserError(
                "a part is train or test, a first and a last image, such as train-0-1999, and not"
                f" {name!r}"
            )
        return cls(split, int(first), int(last))

    @property
    def name(self) -> str:
        """The part's name in paths, such as `train-0-1999`."""
        return f"{self.split}-{self.first}-{self.last}"

    @property
    def file(self) -> str:
        """The name of the part's file."""
        return f"{self.name}.safetensors"

    @property
    def images(self) -> int:
        """The number of images."""
        return self.last - self.first + 1

    @property
    def rows(self) -> slice:
        """Where they are among the images of the split."""
        return slice(self.first, self.last + 1)


def images_at_once(size: int, *, on_gpu: bool) -> int:
    """Return how many images of `size` pixels a side pass through convolutions together."""
    pixels = PIXELS_ON_GPU if on_gpu else PIXELS_ON_CPU
    return max(1, pixels // size**2)


def parts_of(split: str, images: int) -> list[Part]:
    """Return the parts of the first `images` of a split, in order."""
    starts = range(0, images, IMAGES_A_PART)
    return [Part(split, first, min(first + IMAGES_A_PART, images) - 1) for first in starts]
