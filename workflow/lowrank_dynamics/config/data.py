"""What may be set of the data: synthetic clusters, images, and images that pass through convolutions first."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from lowrank_dynamics.config.frozen import Frozen, one_of
from lowrank_dynamics.vgg.stacks import STACKS

Stage = Literal["images", "features"]
"""What the stages before training leave for it to read: prepared images, or features of them."""


class ClusterData(Frozen):
    """Synthetic Gaussian clusters, drawn anew in each trial."""

    source: Literal["clusters"]
    dimension: PositiveInt = Field(description="d, the number of inputs")
    classes: int = Field(ge=2, description="K, the number of clusters and of outputs")
    samples: PositiveInt = Field(description="N, the number of training samples")
    separation: PositiveFloat = Field(description="distance of two centres in standard deviations of a cluster")
    whitened: bool = Field(description="whether X X' = I_d")

    stored: ClassVar[Stage | None] = None
    fetched: ClassVar[tuple[str, ...]] = ()

    def choice(self, stage: Stage) -> None:
        """Return what decides about the content of a stage's file: there is none."""

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.samples

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if self.whitened and self.samples < self.dimension:
            raise ValueError(f"samples must be at least dimension = {self.dimension} to whiten, is {self.samples}")
        return self


class FashionMnistData(Frozen):
    """The first images of each class of Fashion-MNIST, the same in each trial."""

    source: Literal["fashion_mnist"]
    training_images: int = Field(gt=0, le=60_000, multiple_of=10, description="N, a tenth of it from each class")
    test_images: int = Field(gt=0, le=10_000, multiple_of=10, description="a tenth of it from each class")

    dimension: ClassVar[int] = 784
    classes: ClassVar[int] = 10
    images: ClassVar[str] = "fashion_mnist"
    stored: ClassVar[Stage | None] = "images"
    fetched: ClassVar[tuple[str, ...]] = ()

    def choice(self, stage: Stage) -> tuple[Any, ...] | None:
        """Return what decides about the content of a stage's file, None if there is no such stage."""
        return (self.images, self.training_images, self.test_images) if stage == "images" else None

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.training_images


class ConvolvedData(Frozen):
    """The first images of each class, the same in each trial, passed through a stack of convolutions."""

    source: Literal["convolved"]
    images: Literal["fashion_mnist", "cifar10"]
    training_images: int = Field(gt=0, le=60_000, multiple_of=10, description="N, a tenth of it from each class")
    test_images: int = Field(gt=0, le=10_000, multiple_of=10, description="a tenth of it from each class")
    size: PositiveInt = Field(description="pixels a side, to which images are resized")
    convolutions: str = Field(description="a name in STACKS")
    pool: PositiveInt = Field(description="cells a side of the average at the end")
    fine_tuned: bool = Field(description="whether the convolutions are trained too; if not, features are computed once")

    classes: ClassVar[int] = 10

    @property
    def dimension(self) -> int:
        """d, the number of features of an image."""
        return STACKS[self.convolutions].channels * self.pool**2

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of an image before it is resized."""
        return (1, 28, 28) if self.images == "fashion_mnist" else (3, 32, 32)

    @property
    def stored(self) -> Stage:
        """What training reads."""
        return "images" if self.fine_tuned else "features"

    @property
    def fetched(self) -> tuple[str, ...]:
        """What comes from outside, by the names that `fetching` has for it."""
        weights = ("vgg16",) if STACKS[self.convolutions].pretrained else ()
        return (*weights, "cifar10") if self.images == "cifar10" else weights

    def choice(self, stage: Stage) -> tuple[Any, ...] | None:
        """Return what decides about the content of a stage's file, None if there is no such stage."""
        images = (self.images, self.training_images, self.test_images)
        if stage == "images":
            return images
        return None if self.fine_tuned else (*images, self.convolutions, self.size, self.pool)

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.training_images

    @field_validator("convolutions")
    @classmethod
    def _known(cls, name: str) -> str:
        return one_of(STACKS, name)

    @model_validator(mode="after")
    def _images_exist(self) -> Self:
        if self.images == "cifar10" and self.training_images > 50_000:
            raise ValueError(f"training_images must be at most 50000 of cifar10, is {self.training_images}")
        smallest = 2 ** STACKS[self.convolutions].halvings
        if self.size < smallest:
            raise ValueError(f"size must be at least {smallest} for {self.convolutions}, is {self.size}")
        return self
