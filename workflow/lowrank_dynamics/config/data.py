"""The data sets that `source` may name: drawn during training, or stored by an earlier job.

`source: NAME` means the module `data/NAME.py`, which has `draw`, for data that each trial draws, or
`load`, for stored data; for images it means `data/pixels.py`. The function `prepare` in the module
named after the images writes them.
"""

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lowrank_dynamics.config.base import Count, Frozen, NameIn, Positive
from lowrank_dynamics.config.parts import Part, parts_of
from lowrank_dynamics.config.registries import CONVOLUTIONS, IMAGES


class DrawnData(Frozen):
    """Synthetic data, drawn for each trial and optionally whitened."""

    source: str
    dimension: Count = Field(description="d, the number of inputs")
    classes: int = Field(ge=2, description="K, the number of classes and of outputs")
    samples: Count = Field(description="N, the number of training samples")
    whitened: bool = Field(description="whether X X' = I_d")

    test_images: ClassVar[int] = 0
    fetched: ClassVar[tuple[str, ...]] = ()
    stored: ClassVar[str | None] = None
    parts: ClassVar[tuple[Part, ...]] = ()

    @property
    def module(self) -> str:
        """The module of the room `data` that draws them."""
        return self.source

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.samples

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if self.whitened and self.samples < self.dimension:
            raise ValueError(
                f"samples must be at least dimension = {self.dimension} to whiten, is"
                f" {self.samples}"
            )
        return self


class ClusterData(DrawnData):
    """One Gaussian cluster per class."""

    source: Literal["clusters"]
    separation: Positive = Field(
        description="distance of two centers in standard deviations of a cluster"
    )


class StoredData(Frozen):
    """The first images of each class, the same in each trial.

    `stored` is what training reads, relative to `results/data` and named by its content: a file, or
    a folder with one file for each of the `parts`.
    """

    source: str
    training_images: int = Field(
        gt=0, le=60_000, multiple_of=10, description="N, a tenth of it from each class"
    )
    test_images: int = Field(
        gt=0, le=10_000, multiple_of=10, description="a tenth of it from each class"
    )

    classes: ClassVar[int] = 10

    @property
    def module(self) -> str:
        """The module of the room `data` that loads them."""
        return self.source

    @property
    def inputs(self) -> int:
        """The number of values per image that training reads: the pixels of the named images."""
        return math.prod(IMAGES[self.source].shape)

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.training_images


class PixelData(StoredData):
    """The pixels of images."""

    source: Literal["fashion_mnist", "digits", "cifar10"]

    parts: ClassVar[tuple[Part, ...]] = ()
    module: ClassVar[str] = "pixels"

    @property
    def dimension(self) -> int:
        """d, the number of pixels, each channel counted."""
        return self.inputs

    @property
    def fetched(self) -> tuple[str, ...]:
        """What is downloaded, by its names in `data.external`."""
        return (self.source,) if IMAGES[self.source].fetched else ()

    @property
    def stored(self) -> str:
        """The file with the images."""
        return f"images/{self.source}-{self.training_images}-{self.test_images}.safetensors"

    @model_validator(mode="after")
    def _images_suffice(self) -> Self:
        _require_images(self.source, self)
        return self


class ConvolvedData(StoredData):
    """The output of convolutions on images."""

    source: Literal["convolved"]
    images: Annotated[str, NameIn(IMAGES)]
    size: Count = Field(description="pixels a side, to which images are resized")
    convolutions: Annotated[str, NameIn(CONVOLUTIONS)]
    pool: Count = Field(description="cells a side of the average at the end")
    fine_tuned: bool = Field(
        description="whether the convolutions are trained too; if not, features are computed once"
    )

    @property
    def dimension(self) -> int:
        """d, the number of features of an image."""
        return CONVOLUTIONS[self.convolutions].channels * self.pool**2

    @property
    def inputs(self) -> int:
        """The numbers of one input: pixels if the convolutions are trained, else features."""
        return math.prod(IMAGES[self.images].shape) if self.fine_tuned else self.dimension

    @property
    def stored(self) -> str:
        """The file with the images if the convolutions are trained, else the folder with their
        features.
        """
        images = f"{self.images}-{self.training_images}-{self.test_images}"
        if self.fine_tuned:
            return f"images/{images}.safetensors"
        return f"features/{images}-{self.convolutions}-{self.size}-{self.pool}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the features, each computed by a job of its own; none if the convolutions
        are trained.
        """
        if self.fine_tuned:
            return ()
        return (*parts_of("train", self.training_images), *parts_of("test", self.test_images))

    @property
    def fetched(self) -> tuple[str, ...]:
        """What is downloaded, by its names in `data.external`."""
        weights = (self.convolutions,) if CONVOLUTIONS[self.convolutions].pretrained else ()
        return (*weights, self.images) if IMAGES[self.images].fetched else weights

    @model_validator(mode="after")
    def _images_suffice(self) -> Self:
        _require_images(self.images, self)
        smallest = CONVOLUTIONS[self.convolutions].smallest
        if self.size < smallest:
            raise ValueError(
                f"size must be at least {smallest} for {self.convolutions}, got {self.size}"
            )
        return self


Data = Annotated[ClusterData | ConvolvedData | PixelData, Field(discriminator="source")]


def _require_images(name: str, data: StoredData) -> None:
    """Require that there are so many training and test images."""
    for split in ("training_images", "test_images"):
        most, count = getattr(IMAGES[name], split), getattr(data, split)
        if count > most:
            raise ValueError(f"{split} must be at most {most} of {name}, is {count}")
