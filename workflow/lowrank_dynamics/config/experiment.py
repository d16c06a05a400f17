"""What may be set of one experiment: data, network, training, what is observed, and its variants."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from lowrank_dynamics.config.base import Count, Frozen, Part, Positive, merged, name_in
from lowrank_dynamics.config.data import ConvolvedData, Data, DrawnData
from lowrank_dynamics.config.registries import OBSERVABLES, OPTIMIZERS, PARAMETERIZATIONS, activation

Parameterization = Annotated[str, name_in(PARAMETERIZATIONS)]
BASE = "base"
"""The name of the variant that changes nothing."""
EVALUATED_AT_ONCE = 1_000
"""Samples that are evaluated together where `samples_at_once` leaves it open, which limits the memory it takes."""


class Network(Frozen):
    """The MLP, full or low-rank, and its initialization."""

    depth: int = Field(ge=2, le=1_000, description="L, the number of weight matrices")
    width: Count = Field(description="m, the hidden width")
    rank: Count | None = Field(description="r of the low-rank networks; null where there are none")
    first_batch: Count | None = Field(description="random samples whose gradient defines S_big; null for all")
    rotation: float = Field(ge=0, le=90, description="psi, by which the s_big factors are rotated away, in degrees")
    eps: Positive = Field(description="eps, the size of the initial hidden weights")
    last_eps: Positive = Field(description="the size of the initial last layer W_L")
    train_last_layer: bool = Field(description="whether W_L is trained; the theory setting keeps it fixed")


class Training(Frozen):
    """How the networks are trained; the theory is about gradient descent on all samples at once."""

    objective: Literal["squared_error", "cross_entropy"]
    optimizer: Annotated[str, name_in(OPTIMIZERS)]
    batch_size: Count | None = Field(description="samples in a step; null for all of them")
    learning_rate: Positive = Field(description="eta")
    weight_decay: float = Field(ge=0, le=1e6, description="the decay of a weight in a step, relative to weight and eta")
    mixed_precision: bool = Field(description="whether convolutions that are trained compute in bfloat16")
    schedule: Literal["constant", "cosine"] = Field(description="how eta changes over the steps")
    steps: int = Field(ge=0, le=1_000_000_000, description="the number of steps, at most; 0 measures the start only")
    stop_near_linear_fit: Positive | None = Field(
        description="stop a trial once its loss exceeds that of the best linear fit by at most this fraction"
    )

    @property
    def is_gradient_descent(self) -> bool:
        """Whether a step is Theta <- Theta - eta grad, with the gradient of all samples."""
        return self.optimizer == "gradient_descent" and self.batch_size is None

    @model_validator(mode="after")
    def _steps_are_defined(self) -> Self:
        if self.stop_near_linear_fit and not (self.is_gradient_descent and self.objective == "squared_error"):
            raise ValueError("stop_near_linear_fit must be null except for squared_error and full-batch descent")
        if self.weight_decay and self.optimizer == "gradient_descent":
            raise ValueError("weight_decay must be 0.0 for gradient_descent, which has none")
        return self


class Observe(Frozen):
    """How often each observable is measured, in steps; null for never. The last step is always measured."""

    loss: Count = Field(description="losses and accuracies; also when the stopping rule is checked")
    singular_structure: Count | None = Field(description="singular values and movement of singular subspaces")
    block_shares: Count | None = Field(description="the four blocks' shares of the change of each hidden layer")
    gradient: Count | None = Field(description="spectrum of G_1 and the updates that theorem 3.5 bounds")
    start_eps: tuple[Positive, ...] = Field(strict=False, description="the eps at which G_1(0) is measured")
    change_rank: Count | None = Field(default=None, description="directions that hold 99 % of the change of each layer")
    linearity: Count | None = Field(default=None, description="distance of outputs and G_1 from the linear network's")
    constants: Count | None = Field(default=None, description="curvature in W_1 and sigma_{K+1}(G_1(0)), with bounds")

    @property
    def names(self) -> list[str]:
        """The observables that are measured, by the names that they have in OBSERVABLES."""
        return [name for name in OBSERVABLES if getattr(self, name)]


class Variant(Frozen):
    """What a variant of an experiment changes: values of data, network and training, and which networks it has."""

    data: dict[str, Any] = Field(default={})
    network: dict[str, Any] = Field(default={})
    training: dict[str, Any] = Field(default={})
    parameterizations: tuple[Parameterization, ...] | None = Field(default=None, strict=False)


class Shared(Frozen):
    """The settings that the cells of one variant share."""

    trials: int = Field(gt=0, le=1_000)
    dtype: Literal["float32", "float64"]
    samples_at_once: Count | None = Field(description="samples that go through a network at a time; null for all")
    threads: int = Field(gt=0, le=1_000, description="threads of one job; the cores left over run other jobs")
    data: Data
    network: Network
    training: Training
    observe: Observe


class CellSettings(Shared):
    """Everything that the numbers of a cell depend on, except for its activation and parameterization."""

    seed: int

    @property
    def digest(self) -> str:
        """The sha256 of the settings without the number of trials, on which the numbers of none of them depend."""
        content = json.dumps(self.model_dump(mode="json", exclude={"trials"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


class Experiment(Shared):
    """One experiment: its cells are the combinations of activation, parameterization and variant, in several trials."""

    activations: tuple[str, ...] = Field(min_length=1, strict=False)
    parameterizations: tuple[Parameterization, ...] = Field(min_length=1, strict=False)
    variants: dict[Part, Variant] = Field(default={BASE: Variant()}, min_length=1)
    trials_per_job: int | None = Field(gt=0, description="how many trials a job trains; null for all of them")

    @property
    def shards(self) -> list[range]:
        """The trials of each job of a cell."""
        size = self.trials_per_job or self.trials
        return [range(first, min(first + size, self.trials)) for first in range(0, self.trials, size)]

    @property
    def judged(self) -> dict[str, Any]:
        """Which of the measured cells and trials the claims are judged by; the arguments of `Metrics.within`."""
        return self.model_dump(include={"trials", "activations", "parameterizations"})

    def of_variant(self, name: str) -> "Experiment":
        """Return the experiment with the changes of one variant in their places, and no further variants."""
        own = self.model_dump(exclude={"variants"})
        own["parameterizations"] = self.parameterizations_of(name) or self.parameterizations
        return Experiment.model_validate(merged(own, self.variants[name].model_dump(exclude={"parameterizations"})))

    def parameterizations_of(self, variant: str) -> tuple[Parameterization, ...]:
        """Return which networks a variant has."""
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
            raise ValueError(f"trials_per_job must be at most trials = {self.trials}, is {self.trials_per_job}")
        return self

    @model_validator(mode="after")
    def _chunks_give_the_whole(self) -> Self:
        if self.samples_at_once is not None and (
            drawn := [name for name in self.activations if activation(name).random]
        ):
            raise ValueError(f"samples_at_once must be null for {drawn[0]}, which draws slopes for a whole batch")
        return self

    @model_validator(mode="after")
    def _within_the_theory(self) -> Self:
        """Check what section 2 needs: K < d/2, m >= d except for heads, and r >= 2K for a low-rank network."""
        dimension, classes, network = self.data.dimension, self.data.classes, self.network
        if 2 * classes >= dimension:
            raise ValueError(f"data.classes must be below dimension / 2 = {dimension / 2:g}, is {classes}")
        blocks = self.observe.block_shares or self.observe.gradient
        if network.width < dimension and (blocks or not isinstance(self.data, ConvolvedData)):
            raise ValueError(f"network.width must be at least the input dimension {dimension}, is {network.width}")
        low_rank, rank = set(self.parameterizations) != {"full"}, network.rank
        most, symbol = min((dimension, "d"), (network.width, "m"))
        if (low_rank or rank is not None) and not (rank is not None and 2 * classes <= rank <= most):
            raise ValueError(f"network.rank must be between 2K = {2 * classes} and {symbol} = {most}, is {rank}")
        if network.rotation and not (rank == 2 * classes and 2 * rank <= dimension <= network.width):
            raise ValueError(f"network.rotation must be 0.0 unless rank = 2K and 2 rank <= d = {dimension} <= m")
        if low_rank and not network.train_last_layer:
            raise ValueError("network.train_last_layer must be true: low-rank networks train all their weights")
        if self.dtype == "float32" and isinstance(self.data, DrawnData):
            where = f"dtype must be float64 for {self.data.source}"
            raise ValueError(f"{where}: what is measured there is lost in float32's rounding")
        return self

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        """Check that what is to be observed is defined, and that trials stop at steps where everything is measured."""
        observe, training, network = self.observe, self.training, self.network
        cadences = (
            observe.singular_structure,
            observe.block_shares,
            observe.gradient,
            observe.change_rank,
            observe.linearity,
        )
        if training.stop_near_linear_fit and any(every and observe.loss % every for every in cadences):
            raise ValueError(
                "observe.loss must be a multiple of the other cadences, for trials stop when it is measured"
            )
        smallest, classes = min(network.width, self.data.dimension), self.data.classes
        if observe.singular_structure and smallest <= 2 * classes:
            raise ValueError(
                f"observe.singular_structure must be null unless network.width is above 2K = {2 * classes}"
            )
        if observe.start_eps and smallest <= classes:
            raise ValueError(f"observe.start_eps must be empty unless network.width is above K = {classes}")
        constant = training.is_gradient_descent and training.schedule == "constant" and training.steps > 0
        if observe.gradient and not (network.depth == 2 and constant):
            raise ValueError(
                "observe.gradient must be null except for depth 2 and full-batch gradient_descent at a constant rate"
            )
        linear = network.depth == 2 and training.is_gradient_descent and training.objective == "squared_error"
        if (observe.linearity or observe.constants) and not linear:
            raise ValueError(
                "observe.linearity and observe.constants must be null except for depth 2, squared_error and full-batch "
                "descent"
            )
        if observe.linearity and (drawn := [name for name in self.activations if activation(name).random]):
            raise ValueError(f"observe.linearity must be null for {drawn[0]}, whose slope at zero is drawn anew")
        whitened = isinstance(self.data, DrawnData) and self.data.whitened
        if observe.constants and not (whitened and all(activation(name).smooth for name in self.activations)):
            raise ValueError("observe.constants must be null except for whitened data and smooth activations")
        batches = {"training.batch_size": training.batch_size, "network.first_batch": network.first_batch}
        for key, size in batches.items():
            if size is not None and size > self.data.training_samples:
                raise ValueError(f"{key} must be at most the {self.data.training_samples} samples, is {size}")
        return self

    @model_validator(mode="after")
    def _convolutions_can_be_trained(self) -> Self:
        """Check that an experiment that trains convolutions measures nothing that is defined for matrices only."""
        if not (isinstance(self.data, ConvolvedData) and self.data.fine_tuned):
            return self
        if self.observe.names != ["loss"]:
            raise ValueError("observe: only loss may be measured where convolutions are trained")
        if self.training.optimizer == "muon" or self.training.stop_near_linear_fit:
            raise ValueError(
                "training: neither muon nor stop_near_linear_fit may be used where convolutions are trained"
            )
        if "principal_components" in self.parameterizations:
            raise ValueError("parameterizations: principal_components are of fixed inputs, not of trained features")
        if self.dtype != "float32":
            raise ValueError(f"dtype must be float32 where convolutions are trained, is {self.dtype}")
        return self

    @model_validator(mode="after")
    def _variants_are_sound(self) -> Self:
        """Check each variant as if its values were the experiment's own."""
        if self.variants == {BASE: Variant()}:
            return self
        for name, variant in self.variants.items():
            if further := set(variant.parameterizations or ()) - set(self.parameterizations):
                raise ValueError(f"variants.{name}.parameterizations: the experiment has no {further.pop()!r}")
            try:
                self.of_variant(name)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(("variants", name, *map(str, problem["loc"])))
                raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from error
            except ValueError as error:
                raise ValueError(f"variants.{name}.{error}") from error
        return self
