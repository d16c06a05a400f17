"""What the numbers of a cell depend on: data, network, training, and what is observed."""

import hashlib
import json
import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lowrank_dynamics.config.base import Count, Frozen, NameIn, Positive, distinct
from lowrank_dynamics.config.data import Data
from lowrank_dynamics.config.registries import OBSERVABLES, OPTIMIZERS, PARAMETERIZATIONS

Parameterization = Annotated[str, NameIn(PARAMETERIZATIONS)]
EVALUATED_AT_ONCE = 1_000
"""Samples evaluated together if `samples_at_once` is null, to limit memory."""


class Network(Frozen):
    """The MLP, full or low-rank, and its initialization."""

    architecture: Literal["mlp", "transformer_block"] = Field(
        default="mlp",
        description=(
            "transformer_block: W_1 and W_2 are the MLP of one block, which takes the rows of an"
            " image one after another, and W_3 reads its mean out"
        ),
    )
    depth: int = Field(ge=2, le=1_000, description="L, the number of weight matrices")
    width: Count = Field(description="m, the hidden width")
    rank: Count | None = Field(description="r of the low-rank networks; null where there are none")
    first_batch: Count | None = Field(
        description="random samples whose gradient defines S_big; null for all"
    )
    rotation: float = Field(
        ge=0, le=90, description="psi, by which the s_big factors are rotated away, in degrees"
    )
    eps: Positive = Field(description="eps, the size of the initial hidden weights")
    last_eps: Positive = Field(description="the size of the initial last layer W_L")
    train_last_layer: bool = Field(
        description="whether W_L is trained; the theory setting keeps it fixed"
    )
    cores: Literal["orthogonal", "identity"] = Field(
        default="orthogonal",
        description=(
            "the cores of low-rank MLPs at initialization: eps times random orthogonal matrices,"
            " or eps times the identity"
        ),
    )
    extra_columns: Literal["drawn", "image"] = Field(
        default="drawn",
        description=(
            "the columns of U of s_big beyond 2K: drawn from the complement of the others, or"
            " the image of V's under the weights"
        ),
    )
    complements: Literal["separate", "common"] = Field(
        default="separate",
        description=(
            "what the s_big factors are rotated into: each into its own complement, or both into"
            " one subspace of the complement of both"
        ),
    )
    shares_draw: bool = Field(
        default=True,
        description=(
            "whether low-rank networks are made from the full network's draw of W_1(0) .. W_L(0),"
            " or from another one"
        ),
    )


class Training(Frozen):
    """How the networks are trained; the theory covers full-batch gradient descent."""

    objective: Literal["squared_error", "cross_entropy"]
    optimizer: Annotated[str, NameIn(OPTIMIZERS)]
    batch_size: Count | None = Field(description="samples in a step; null for all of them")
    learning_rate: Positive = Field(description="eta")
    weight_decay: float = Field(
        ge=0,
        le=1e6,
        description=(
            "torch's: a weight times this is added to its gradient; with muon, eta times that is"
            " subtracted from the weight"
        ),
    )
    mixed_precision: bool = Field(
        description="whether convolutions that are trained compute in bfloat16"
    )
    schedule: Literal["constant", "cosine"] = Field(description="how eta changes over the steps")
    steps: int = Field(
        ge=0,
        le=1_000_000_000,
        description="the number of steps, at most; 0 measures the start only",
    )
    project: Literal["inside", "outside", "frozen"] | None = Field(
        default=None,
        description=(
            "the part of the hidden layers' updates that is taken: inside a block of each,"
            " outside of it, or none; null for all"
        ),
    )
    block: Literal["s_big", "random", "gradient"] = Field(
        default="s_big",
        description=(
            "the block: block 1 of theorem 3.5, the same of a random subspace, or the top 2K"
            " singular subspaces of the gradient"
        ),
    )
    renew_every: Count | None = Field(
        default=None, description="steps after which the gradient's block is taken anew"
    )
    may_diverge: bool = Field(
        default=False,
        description="whether a trial whose loss is not finite ends there, instead of the run",
    )
    stop_near_linear_fit: Positive | None = Field(
        description=(
            "stop a trial once its loss exceeds that of the best linear fit by at most this"
            " fraction"
        )
    )

    @property
    def is_gradient_descent(self) -> bool:
        """Whether a step is Theta <- Theta - eta grad, with the gradient of all samples."""
        return self.optimizer == "gradient_descent" and self.batch_size is None

    @model_validator(mode="after")
    def _steps_are_defined(self) -> Self:
        if self.stop_near_linear_fit and not (
            self.is_gradient_descent and self.objective == "squared_error"
        ):
            raise ValueError(
                "stop_near_linear_fit must be null except for squared_error and full-batch descent"
            )
        if self.project and self.optimizer != "gradient_descent":
            raise ValueError(
                "project must be null except for gradient_descent, whose updates are the gradients"
            )
        if (self.block == "gradient") != (self.renew_every is not None):
            raise ValueError("renew_every must be set for block gradient, and only for that")
        if self.block != "s_big" and self.project not in ("inside", "outside"):
            raise ValueError("block must be s_big unless project is inside or outside")
        if self.weight_decay and self.optimizer == "gradient_descent":
            raise ValueError("weight_decay must be 0.0 for gradient_descent, which has none")
        return self


class Observe(Frozen):
    """How often each observable is measured, in steps; null for never. The last step is always
    measured.
    """

    loss: Count = Field(description="losses and accuracies; also when the stopping rule is checked")
    singular_structure: Count | None = Field(
        description="singular values and movement of singular subspaces"
    )
    subspace_reference: Count = Field(
        default=1,
        description=(
            "the step from which on the first weight whose three groups of singular values are"
            " separated is the reference of movement"
        ),
    )
    block_shares: Count | None = Field(
        description="the four blocks' shares of the change of each hidden layer"
    )
    block_magnitudes: Count | None = Field(
        default=None,
        description="each entry of the change of W_1, in the bases that define its four blocks",
    )
    block_rank: Count | None = Field(
        default=None,
        description="K in the definition of the four blocks; null for the number of classes",
    )
    gradient: Count | None = Field(
        description="spectrum of G_1 and the updates that theorem 3.5 bounds"
    )
    start_eps: tuple[Positive, ...] = Field(
        strict=False, description="the eps at which G_1(0) is measured"
    )
    change_rank: Count | None = Field(
        default=None, description="directions that hold 99 % of the change of each layer"
    )
    linearity: Count | None = Field(
        default=None, description="distance of outputs and G_1 from the linear network's"
    )
    constants: Count | None = Field(
        default=None, description="curvature in W_1 and sigma_{K+1}(G_1(0)), with bounds"
    )
    loss_gradient: Count | None = Field(
        default=None, description="norm of the gradient of the training loss in all trained weights"
    )

    @property
    def names(self) -> list[str]:
        """The measured observables, by their names in OBSERVABLES."""
        return [name for name in OBSERVABLES if getattr(self, name)]


class Variant(Frozen):
    """The settings in which the variants of an experiment may differ."""

    data: Data
    network: Network
    training: Training
    parameterizations: tuple[Parameterization, ...] = Field(strict=False)

    @field_validator("parameterizations")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(names)


class Common(Frozen):
    """The settings that all variants of an experiment have in common."""

    trials: int = Field(gt=0, le=1_000)
    dtype: Literal["float32", "float64"]
    samples_at_once: Count | None = Field(
        description="samples that go through a network at a time; null for all"
    )
    threads: int = Field(
        gt=0, le=1_000, description="threads of one job; the cores left over run other jobs"
    )


class Shared(Common):
    """The settings that the cells of one variant share."""

    data: Data
    network: Network
    training: Training
    observe: Observe

    @property
    def steps_per_epoch(self) -> int:
        """The steps in which all samples are taken once."""
        samples = self.data.training_samples
        return math.ceil(samples / (self.training.batch_size or samples))

    @property
    def dimension(self) -> int:
        """d, the number of inputs of W_1."""
        if self.network.architecture == "transformer_block":
            return self.network.width
        return self.data.dimension


class CellSettings(Shared):
    """Everything the numbers of a cell depend on, except its activation and parameterization."""

    seed: int

    @property
    def digest(self) -> str:
        """The sha256 of the settings without the number of trials, which changes none of their
        numbers.
        """
        content = json.dumps(self.model_dump(mode="json", exclude={"trials"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
