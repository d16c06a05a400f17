"""The two kinds of data sets: drawn while a network trains, or stored before.

A data set names the functions that make it as `package:function`, so that settings are loaded without torch. Rules take
the modules of those functions, and that of the settings, as inputs of its jobs alone.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from lowrank_dynamics.config.frozen import Frozen

Stage = Literal["images", "features"]
"""What the stages before training leave for it to read: prepared images, or features of them."""


class DrawnData(Frozen):
    """Synthetic data, drawn anew in each trial.

    `drawn_by` names the function that draws one trial: from these settings and a generator to inputs (d, N), float64,
    and labels (N,). They are whitened after that.
    """

    source: str
    dimension: PositiveInt = Field(description="d, the number of inputs")
    classes: int = Field(ge=2, description="K, the number of classes and of outputs")
    samples: PositiveInt = Field(description="N, the number of training samples")
    whitened: bool = Field(description="whether X X' = I_d")

    drawn_by: ClassVar[str]
    stored: ClassVar[Stage | None] = None
    fetched: ClassVar[tuple[str, ...]] = ()

    def choice(self, stage: Stage) -> None:
        """Return what decides about the content of a stage's file: there is none."""

    @property
    def code(self) -> tuple[str, ...]:
        """The modules that are about these data alone, as rules list them."""
        return module_of(type(self).__module__), module_of(self.drawn_by)

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.samples

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if self.whitened and self.samples < self.dimension:
            raise ValueError(f"samples must be at least dimension = {self.dimension} to whiten, is {self.samples}")
        return self


class StoredData(Frozen):
    """The first images of each class, the same in each trial, prepared before any network trains.

    `prepared_by` names the function that writes them: from how many there are for training and test to a file. If
    `fetched_images` names what `fetching` has for them, the folder of that comes first. `loaded_by` names the function
    that reads what is `stored`: from a file and a floating-point type to a `Dataset`.
    """

    source: str
    training_images: int = Field(gt=0, le=60_000, multiple_of=10, description="N, a tenth of it from each class")
    test_images: int = Field(gt=0, le=10_000, multiple_of=10, description="a tenth of it from each class")

    loaded_by: ClassVar[str]
    classes: ClassVar[int] = 10

    @property
    def code(self) -> tuple[str, ...]:
        """The modules that are about these data alone, as rules list them."""
        return module_of(type(self).__module__), module_of(self.loaded_by)

    @property
    def training_samples(self) -> int:
        """N, by the name that all data sets share."""
        return self.training_images


def module_of(target: str) -> str:
    """Return the module in `lowrank_dynamics.data.clusters:draw` as a path in the package: `data/clusters`."""
    return target.partition(":")[0].removeprefix("lowrank_dynamics.").replace(".", "/")
