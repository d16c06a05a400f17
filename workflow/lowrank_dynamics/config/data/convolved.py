"""What may be set of images that pass through convolutions first."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from lowrank_dynamics.config.data.kinds import Stage, StoredData
from lowrank_dynamics.config.frozen import one_of
from lowrank_dynamics.vgg.stacks import STACKS


class ConvolvedData(StoredData):
    """What a stack of convolutions makes of images."""

    source: Literal["convolved"]
    images: Literal["fashion_mnist", "cifar10"] = Field(description="the module in `data/` that prepares them")
    size: PositiveInt = Field(description="pixels a side, to which images are resized")
    convolutions: str = Field(description="a name in STACKS")
    pool: PositiveInt = Field(description="cells a side of the average at the end")
    fine_tuned: bool = Field(description="whether the convolutions are trained too; if not, features are computed once")

    loaded_by: ClassVar[str] = "lowrank_dynamics.vgg.features:load"

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
    def prepared_by(self) -> str:
        """The function that writes the images to a file."""
        return f"lowrank_dynamics.data.{self.images}:prepare"

    @property
    def fetched_images(self) -> str | None:
        """The name that `fetching` has for the images, None if they are not fetched."""
        return "cifar10" if self.images == "cifar10" else None

    @property
    def fetched(self) -> tuple[str, ...]:
        """What comes from outside, by the names that `fetching` has for it."""
        weights = ("vgg16",) if STACKS[self.convolutions].pretrained else ()
        return (*weights, self.fetched_images) if self.fetched_images else weights

    def choice(self, stage: Stage) -> tuple[Any, ...] | None:
        """Return what decides about the content of a stage's file, None if there is no such stage."""
        images = (self.images, self.training_images, self.test_images)
        if stage == "images":
            return images
        return None if self.fine_tuned else (*images, self.convolutions, self.size, self.pool)

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
