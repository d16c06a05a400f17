"""What may be set of Fashion-MNIST."""

from typing import Any, ClassVar, Literal

from lowrank_dynamics.config.data.kinds import Stage, StoredData


class FashionMnistData(StoredData):
    """The pixels of Fashion-MNIST's images."""

    source: Literal["fashion_mnist"]

    dimension: ClassVar[int] = 784
    images: ClassVar[str] = "fashion_mnist"
    stored: ClassVar[Stage | None] = "images"
    prepared_by: ClassVar[str] = "lowrank_dynamics.data.fashion_mnist:prepare"
    loaded_by: ClassVar[str] = "lowrank_dynamics.data.fashion_mnist:load"
    fetched_images: ClassVar[str | None] = None
    fetched: ClassVar[tuple[str, ...]] = ()

    def choice(self, stage: Stage) -> tuple[Any, ...] | None:
        """Return what decides about the content of a stage's file, None if there is no such stage."""
        return (self.images, self.training_images, self.test_images) if stage == "images" else None
