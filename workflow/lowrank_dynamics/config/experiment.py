"""The settings of one experiment, its cells and variants, and which values conflict."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lowrank_dynamics.config.base import PathPart, distinct
from lowrank_dynamics.config.blocks import Common, Observe, Parameterization, Shared, Variant
from lowrank_dynamics.config.checks import require_sound
from lowrank_dynamics.config.data import Data
from lowrank_dynamics.config.registries import activation


class Experiment(Common):
    """One experiment: its cells are the combinations of activation, parameterization and variant,
    in several trials.
    """

    activations: tuple[str, ...] = Field(min_length=1, strict=False)
    trials_per_job: int | None = Field(
        gt=0, description="how many trials a job trains; null for all of them"
    )
    observe: Observe
    variants: dict[PathPart, Variant] = Field(min_length=1)

    @property
    def parameterizations(self) -> list[Parameterization]:
        """The networks of all variants."""
        names = [name for variant in self.variants.values() for name in variant.parameterizations]
        return list(dict.fromkeys(names))

    @property
    def data(self) -> Data:
        """The data of the first variant; all variants read the same files, if any."""
        return next(iter(self.variants.values())).data

    @property
    def shards(self) -> list[range]:
        """The trials of each job of a cell."""
        size = self.trials_per_job or self.trials
        starts = range(0, self.trials, size)
        return [range(first, min(first + size, self.trials)) for first in starts]

    @property
    def judged(self) -> dict[str, Any]:
        """The measured cells and trials that the claims are judged by, as arguments of
        `Metrics.within`.
        """
        return {
            "trials": self.trials,
            "activations": self.activations,
            "parameterizations": self.parameterizations,
        }

    def of_variant(self, name: str) -> Shared:
        """Return the settings that the cells of a variant share."""
        variant = self.variants[name]
        return Shared.model_construct(
            **{key: getattr(self, key) for key in Common.model_fields},
            data=variant.data,
            network=variant.network,
            training=variant.training,
            observe=self.observe,
        )

    @field_validator("activations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            activation(name)
        return distinct(names)

    @model_validator(mode="after")
    def _shards_are_parts(self) -> Self:
        if self.trials_per_job is not None and self.trials_per_job > self.trials:
            raise ValueError(
                f"trials_per_job must be at most trials = {self.trials}, got {self.trials_per_job}"
            )
        return self

    @model_validator(mode="after")
    def _variants_are_sound(self) -> Self:
        if not self.parameterizations:
            raise ValueError("parameterizations: at least one variant must have some")
        for name, variant in self.variants.items():
            where = f"variants.{name}: " if len(self.variants) > 1 else ""
            if variant.data.stored != self.data.stored:
                raise ValueError(f"{where}data must be those of the other variants")
            try:
                require_sound(self.of_variant(name), self.activations, variant.parameterizations)
            except ValueError as error:
                raise ValueError(f"{where}{error}") from error
        return self
