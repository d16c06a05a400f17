"""The settings of one experiment: what its cells share, its cells and variants, and which values
conflict.
"""

from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from lowrank_dynamics.config.base import Part, merged
from lowrank_dynamics.config.cell import BASE, Parameterization, Shared, Variant
from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.registries import activation


class Experiment(Shared):
    """One experiment: its cells are the combinations of activation, parameterization and variant,
    in several trials.
    """

    activations: tuple[str, ...] = Field(min_length=1, strict=False)
    parameterizations: tuple[Parameterization, ...] = Field(min_length=1, strict=False)
    variants: dict[Part, Variant] = Field(default={BASE: Variant()}, min_length=1)
    trials_per_job: int | None = Field(
        gt=0, description="how many trials a job trains; null for all of them"
    )

    @property
    def shards(self) -> list[range]:
        """The trials of each job of a cell."""
        size = self.trials_per_job or self.trials
        return [
            range(first, min(first + size, self.trials)) for first in range(0, self.trials, size)
        ]

    @property
    def judged(self) -> dict[str, Any]:
        """The measured cells and trials that the claims are judged by, as arguments of
        `Metrics.within`.
        """
        return self.model_dump(include={"trials", "activations", "parameterizations"})

    def of_variant(self, name: str) -> "Experiment":
        """Return the experiment with the changes of one variant applied, and no further
        variants.
        """
        own = self.model_dump(exclude={"variants"})
        own["parameterizations"] = self.parameterizations_of(name) or self.parameterizations
        return Experiment.model_validate(
            merged(own, self.variants[name].model_dump(exclude={"parameterizations"}))
        )

    def parameterizations_of(self, variant: str) -> tuple[Parameterization, ...]:
        """Return a variant's networks."""
        own = self.variants[variant].parameterizations
        return self.parameterizations if own is None else own

    @field_validator("activations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            activation(name)
        return names

    @field_validator("activations", "parameterizations")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"each may be named once, is {list(names)}")
        return names

    @model_validator(mode="after")
    def _shards_are_parts(self) -> Self:
        if self.trials_per_job is not None and self.trials_per_job > self.trials:
            raise ValueError(
                f"trials_per_job must be at most trials = {self.trials}, is {self.trials_per_job}"
            )
        return self

    @model_validator(mode="after")
    def _chunks_give_the_whole(self) -> Self:
        if self.samples_at_once is not None and (
            drawn := [name for name in self.activations if activation(name).random]
        ):
            raise ValueError(
                f"samples_at_once must be null for {drawn[0]}, which draws slopes for a whole batch"
            )
        return self

    @model_validator(mode="after")
    def _within_the_theory(self) -> Self:
        """Check what section 2 needs: K < d/2, m >= d except for heads, and r >= 2K for a low-rank
        network.
        """
        dimension, classes, network = self.data.dimension, self.data.classes, self.network
        if 2 * classes >= dimension:
            raise ValueError(
                f"data.classes must be below dimension / 2 = {dimension / 2:g}, is {classes}"
            )
        blocks = self.observe.block_shares or self.observe.gradient
        if network.width < dimension and (blocks or not isinstance(self.data, ConvolvedData)):
            raise ValueError(
                f"network.width must be at least the input dimension {dimension}, is"
                f" {network.width}"
            )
        low_rank, rank = set(self.parameterizations) != {"full"}, network.rank
        most, symbol = min((dimension, "d"), (network.width, "m"))
        if (low_rank or rank is not None) and not (
            rank is not None and 2 * classes <= rank <= most
        ):
            raise ValueError(
                f"network.rank must be between 2K = {2 * classes} and {symbol} = {most}, is {rank}"
            )
        if network.rotation and not (
            rank == 2 * classes and 2 * rank <= dimension <= network.width
        ):
            raise ValueError(
                f"network.rotation must be 0.0 unless rank = 2K and 2 rank <= d = {dimension} <= m"
            )
        if low_rank and not network.train_last_layer:
            raise ValueError(
                "network.train_last_layer must be true: low-rank networks train all their weights"
            )
        if self.dtype == "float32" and isinstance(self.data, DrawnData):
            where = f"dtype must be float64 for {self.data.source}"
            raise ValueError(f"{where}: what is measured there is lost in float32's rounding")
        return self

    @model_validator(mode="after")
    def _trials_stop_where_all_is_measured(self) -> Self:
        observe = self.observe
        cadences = (
            observe.singular_structure,
            observe.block_shares,
            observe.gradient,
            observe.change_rank,
            observe.linearity,
        )
        if self.training.stop_near_linear_fit and any(
            every and observe.loss % every for every in cadences
        ):
            raise ValueError(
                "observe.loss must be a multiple of the other cadences, for trials stop when it is"
                " measured"
            )
        return self

    @model_validator(mode="after")
    def _what_is_observed_is_defined(self) -> Self:
        observe, training, network = self.observe, self.training, self.network
        smallest, classes = min(network.width, self.data.dimension), self.data.classes
        if observe.singular_structure and smallest <= 2 * classes:
            raise ValueError(
                "observe.singular_structure must be null unless network.width is above 2K ="
                f" {2 * classes}"
            )
        if observe.start_eps and smallest <= classes:
            raise ValueError(
                f"observe.start_eps must be empty unless network.width is above K = {classes}"
            )
        constant = (
            training.is_gradient_descent and training.schedule == "constant" and training.steps > 0
        )
        if observe.gradient and not (network.depth == 2 and constant):
            raise ValueError(
                "observe.gradient must be null except for depth 2 and full-batch gradient_descent"
                " at a constant rate"
            )
        linear = (
            network.depth == 2
            and training.is_gradient_descent
            and training.objective == "squared_error"
        )
        if (observe.linearity or observe.constants) and not linear:
            raise ValueError(
                "observe.linearity and observe.constants must be null except for depth 2,"
                " squared_error and full-batch descent"
            )
        if observe.linearity and (
            drawn := [name for name in self.activations if activation(name).random]
        ):
            raise ValueError(
                f"observe.linearity must be null for {drawn[0]}, whose slope at zero is drawn anew"
            )
        whitened = isinstance(self.data, DrawnData) and self.data.whitened
        if observe.constants and not (
            whitened and all(activation(name).smooth for name in self.activations)
        ):
            raise ValueError(
                "observe.constants must be null except for whitened data and smooth activations"
            )
        return self

    @model_validator(mode="after")
    def _batches_are_parts(self) -> Self:
        batches = {
            "training.batch_size": self.training.batch_size,
            "network.first_batch": self.network.first_batch,
        }
        for key, size in batches.items():
            if size is not None and size > self.data.training_samples:
                raise ValueError(
                    f"{key} must be at most the {self.data.training_samples} samples, is {size}"
                )
        return self

    @model_validator(mode="after")
    def _convolutions_can_be_trained(self) -> Self:
        """Check that an experiment that trains convolutions measures nothing defined only for
        matrices.
        """
        if not (isinstance(self.data, ConvolvedData) and self.data.fine_tuned):
            return self
        if self.observe.names != ["loss"]:
            raise ValueError("observe: only loss may be measured where convolutions are trained")
        if self.training.optimizer == "muon" or self.training.stop_near_linear_fit:
            raise ValueError(
                "training: neither muon nor stop_near_linear_fit may be used where convolutions are"
                " trained"
            )
        if "principal_components" in self.parameterizations:
            raise ValueError(
                "parameterizations: principal_components are of fixed inputs, not of trained"
                " features"
            )
        if self.dtype != "float32":
            raise ValueError(
                f"dtype must be float32 where convolutions are trained, is {self.dtype}"
            )
        return self

    @model_validator(mode="after")
    def _variants_are_sound(self) -> Self:
        """Check each variant as if its values were the experiment's own."""
        if self.variants == {BASE: Variant()}:
            return self
        for name, variant in self.variants.items():
            if further := set(variant.parameterizations or ()) - set(self.parameterizations):
                raise ValueError(
                    f"variants.{name}.parameterizations: the experiment has no {further.pop()!r}"
                )
            try:
                self.of_variant(name)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(("variants", name, *map(str, problem["loc"])))
                raise ValueError(
                    f"{where}: {problem['msg'].removeprefix('Value error, ')}"
                ) from error
            except ValueError as error:
                raise ValueError(f"variants.{name}.{error}") from error
        return self
