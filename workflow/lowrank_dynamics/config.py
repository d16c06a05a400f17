"""The settings: typed, frozen, loaded from `configs/` and checked before any job starts.

`configs/paper.yaml` holds every value; the file of another scale holds only what that scale changes. This module
imports no torch, because Snakemake loads it to build the graph of jobs.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from lowrank_dynamics.activations import ACTIVATIONS
from lowrank_dynamics.errors import UserError

SCALES = ("smoke", "laptop", "paper")
Parameterization = Literal["full", "s_big", "random"]


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ClusterData(Frozen):
    """Synthetic Gaussian clusters, drawn anew in each trial."""

    source: Literal["clusters"]
    dimension: PositiveInt = Field(description="d, the number of inputs")
    classes: int = Field(ge=2, description="K, the number of clusters and of outputs")
    samples: PositiveInt = Field(description="N, the number of training samples")
    separation: PositiveFloat = Field(description="distance of two centres in standard deviations of a cluster")
    whitened: bool = Field(description="whether X X' = I_d")

    prepared: ClassVar[bool] = False  # whether a data stage writes a file for training to read

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
    prepared: ClassVar[bool] = True


class Network(Frozen):
    """The MLP, full or low-rank, and its initialization."""

    depth: int = Field(ge=2, description="L, the number of weight matrices")
    width: PositiveInt = Field(description="m, the hidden width")
    rank: PositiveInt | None = Field(description="r of the low-rank networks; null where there are none")
    scale: PositiveFloat = Field(description="eps, the scale of the initial hidden weights")
    last_scale: PositiveFloat = Field(description="the scale of the initial last layer W_L")
    train_last_layer: bool = Field(description="whether W_L is trained; the theory setting keeps it fixed")


class Training(Frozen):
    """Full-batch gradient descent."""

    objective: Literal["squared_error"]
    learning_rate: PositiveFloat = Field(description="eta")
    schedule: Literal["constant", "cosine"] = Field(description="how eta changes over the steps")
    steps: PositiveInt = Field(description="the number of steps, at most")
    stop_near_linear_fit: PositiveFloat | None = Field(
        description="stop a trial once its loss exceeds that of the best linear fit by at most this fraction"
    )


class Observe(Frozen):
    """How often each observable is measured, in steps; null for never. The last step is always measured."""

    loss: PositiveInt = Field(description="losses and accuracies; also when the stopping rule is checked")
    singular_structure: PositiveInt | None = Field(description="singular values and movement of singular subspaces")
    block_shares: PositiveInt | None = Field(description="the four blocks' shares of the change of each hidden layer")


class Experiment(Frozen):
    """One experiment: its cells are the combinations of activation and parameterization, each run in several trials."""

    activations: tuple[str, ...] = Field(min_length=1, strict=False)
    parameterizations: tuple[Parameterization, ...] = Field(min_length=1, strict=False)
    trials: PositiveInt
    dtype: Literal["float32", "float64"]
    threads: PositiveInt = Field(description="threads of one job; the cores left over run other jobs")
    data: Annotated[ClusterData | FashionMnistData, Field(discriminator="source")]
    network: Network
    training: Training
    observe: Observe

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        """Check that trials which stop do so at steps where everything is measured."""
        cadences = (self.observe.singular_structure, self.observe.block_shares)
        if self.training.stop_near_linear_fit and any(every and self.observe.loss % every for every in cadences):
            raise ValueError(
                "observe.loss must be a multiple of the other cadences, for trials stop when it is measured"
            )
        return self

    @field_validator("activations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in ACTIVATIONS:
                raise ValueError(f"{name!r} is not one of {', '.join(ACTIVATIONS)}")
        return names

    @field_validator("activations", "parameterizations")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"each may be named once, is {list(names)}")
        return names

    @model_validator(mode="after")
    def _within_the_theory(self) -> Self:
        """Check what the subspaces of section 2 need: K < d/2, m >= d, and r >= 2K for a low-rank network."""
        dimension, classes, network = self.data.dimension, self.data.classes, self.network
        if 2 * classes >= dimension:
            raise ValueError(f"data.classes must be below dimension / 2 = {dimension / 2:g}, is {classes}")
        if network.width < dimension:
            raise ValueError(f"network.width must be at least the input dimension {dimension}, is {network.width}")
        low_rank = set(self.parameterizations) != {"full"}
        rank = network.rank
        if (low_rank or rank is not None) and not (rank is not None and 2 * classes <= rank <= dimension):
            raise ValueError(f"network.rank must be between 2K = {2 * classes} and d = {dimension}, is {network.rank}")
        if "s_big" in self.parameterizations and network.rank != 2 * classes:
            raise ValueError(f"network.rank must be 2K = {2 * classes} for parameterization s_big, is {network.rank}")
        if low_rank and not network.train_last_layer:
            raise ValueError("network.train_last_layer must be true: low-rank networks train all their weights")
        if self.dtype == "float32" and isinstance(self.data, ClusterData):
            raise ValueError("dtype must be float64 for clusters: what is measured there is lost in float32's rounding")
        return self


class Cell(NamedTuple):
    """What tells the jobs of one experiment apart; its fields are columns of the metrics."""

    activation: str
    parameterization: str

    @property
    def name(self) -> str:
        """The cell's part of a path, for example `gelu-s_big`."""
        return "-".join(self)


class Settings(Frozen):
    """All settings of one scale."""

    seed: int = Field(ge=0, description="the root of every random draw")
    experiments: dict[str, Experiment]

    def experiment(self, name: str) -> Experiment:
        """Return the experiment called `name`. Raises UserError, with the names there are, if there is none."""
        if name not in self.experiments:
            raise UserError(f"there is no experiment {name!r}; choose one of {', '.join(self.experiments)}")
        return self.experiments[name]

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of the experiment called `name`."""
        experiment = self.experiment(name)
        return [
            Cell(activation, parameterization)
            for activation in experiment.activations
            for parameterization in experiment.parameterizations
        ]

    def of_a_cell(self, name: str) -> dict[str, Any]:
        """Return, ready for JSON, what the numbers of a cell depend on: everything but which other cells there are."""
        experiment = self.experiment(name).model_dump(mode="json", exclude={"activations", "parameterizations"})
        return {"seed": self.seed, **experiment}

    def digest(self, name: str) -> str:
        """Return the sha256 of `of_a_cell`."""
        content = self.of_a_cell(name)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def requested_scale(config: Mapping[str, Any]) -> str:
    """Return the scale asked for by `snakemake --config scale=...`, or laptop. Raises UserError for any other key."""
    unknown = sorted(set(config) - {"scale"})
    if unknown:
        raise UserError(f"--config {unknown[0]}: unknown key; there may be scale=smoke, laptop or paper")
    return str(config.get("scale", "laptop"))


def load_settings(scale: str, folder: Path = Path("configs")) -> Settings:
    """Load `paper.yaml` and put the values of the scale's own file in their places.

    Raises UserError, which names the file and the key and says what would be right, for a missing file, an unknown
    key, a value of the wrong type or an impossible one.
    """
    if scale not in SCALES:
        raise UserError(f"there is no scale {scale!r}; choose one of {', '.join(SCALES)}")
    base_file, scale_file = folder / "paper.yaml", folder / f"{scale}.yaml"
    base = _read_yaml(base_file)
    changes = {} if scale == "paper" else _read_yaml(scale_file)
    merged = _merged(base, changes, scale_file, ())
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        problems = [_sentence(problem, merged, changes, base_file, scale_file) for problem in error.errors()]
        raise UserError("\n".join(problems)) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run from the project's root, or restore the file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold keys with values, not {type(content).__name__}")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any], file: Path, path: tuple[str, ...]) -> dict[str, Any]:
    """Return `base` with `changes` in their places; `changes` may have no key and no subtree that `base` lacks."""
    merged = dict(base)
    for key, value in changes.items():
        where = ".".join((*path, str(key)))
        if key not in base:
            raise UserError(f"{file}: {where}: unknown key; there may be {', '.join(map(str, base))}")
        if isinstance(base[key], dict) != isinstance(value, dict):
            raise UserError(f"{file}: {where}: must {'hold keys' if isinstance(base[key], dict) else 'be one value'}")
        merged[key] = _merged(base[key], value, file, (*path, str(key))) if isinstance(value, dict) else value
    return merged


def _sentence(problem: Any, merged: Any, changes: Any, base_file: Path, scale_file: Path) -> str:
    """Say which file and which key a problem found by pydantic is about, and what would be right."""
    keys = list(_key_path(problem["loc"], merged))
    for key in keys:
        changes = changes.get(key, {}) if isinstance(changes, dict) else changes
    partly_changed = isinstance(changes, dict) and changes
    file = f"{base_file} with {scale_file}" if partly_changed else base_file if changes == {} else scale_file
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    is_value = problem["type"] not in ("extra_forbidden", "missing", "value_error")
    found = f", is {problem['input']!r}" if is_value else ""
    message = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(problem["type"], message)
    return f"{file}: {'.'.join(map(str, keys))}: {message}{found}"


def _key_path(location: tuple[int | str, ...], merged: Any) -> Iterator[int | str]:
    """Yield the parts of a pydantic location that are keys of the file, without the tags of its unions."""
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(merged, dict) and part not in merged and not last:
            continue
        yield part
        merged = merged[part] if isinstance(merged, dict) and part in merged else None
