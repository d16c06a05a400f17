"""The statements in `configs/claims.yaml`: typed, frozen, checked before any job starts."""

from collections.abc import Collection, Iterable, Mapping
from inspect import Parameter, signature
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.config.base import Frozen, NameIn
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.folder import CLAIMS, CONFIGS, scales
from lowrank_dynamics.config.messages import validated
from lowrank_dynamics.config.overlay import Layer
from lowrank_dynamics.config.registries import activation
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.errors import UserError

Comparison = Literal["at_least", "at_most", "within"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
Column = Literal["activation", "parameterization", "variant", "layer", "side", "index"]
CellKey = dict[Column, str | int]
"""A cell of a claim: a value for each of the columns that distinguish its cells."""


class Claim(Frozen):
    """One statement about one figure, and what it is taken to mean.

    In each cell, a combination of the values under `cells`, the measured value must be `at_least`,
    `at_most` or, regardless of sign, `within` the threshold: in the mean over trials or, where the
    paper says "always", in the `worst` trial. `partly` is the threshold of a weaker reading, if
    there is one.
    """

    figure: Annotated[str, NameIn(FIGURES)] = Field(description="the figure that shows it")
    place: str = Field(description="where the paper says it")
    statement: str = Field(description="what the paper says, in our words")
    quantity: str = Field(description="what is measured, in words")
    experiment: str
    measure: Annotated[str, NameIn(MEASURES)]
    options: dict[str, Any] = Field(default={}, description="what the measure needs to know")
    cells: dict[Column, Annotated[list[str | int], Field(min_length=1)]] = Field(
        min_length=1, description="values of the metrics' columns"
    )
    over_trials: Literal["mean", "worst"] = "mean"
    at_least: float | None = None
    at_most: float | None = None
    within: float | None = None
    partly: float | None = None
    because: str = Field(description="why this threshold")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        """Check the options against the parameters of the measure."""
        try:
            _options_of(self.measure).model_validate(self.options)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise ValueError(f"options.{key}: {problem['msg']}") from error
        return self

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if len(self._thresholds) != 1:
            raise ValueError(f"set exactly one of {', '.join(COMPARISONS)}")
        if self.partly is not None and self.meets(self.partly):
            raise ValueError(f"partly must be a weaker threshold, is {self.partly:g}")
        return self

    @property
    def _thresholds(self) -> dict[Comparison, float]:
        """The thresholds that are set: one, in a valid claim."""
        thresholds = {}
        for name in COMPARISONS:
            value = getattr(self, name)
            if value is not None:
                thresholds[name] = value
        return thresholds

    @property
    def comparison(self) -> Comparison:
        """The name of the threshold that is set."""
        return next(iter(self._thresholds))

    @property
    def threshold(self) -> float:
        """The threshold that is set."""
        return self._thresholds[self.comparison]

    def meets(self, value: float, error: float = 0.0, *, weaker: bool = False) -> bool:
        """Return whether `value` meets the threshold, or the `weaker` one, anywhere within its
        `error`.
        """
        threshold = self.partly if weaker else self.threshold
        if threshold is None:
            return False
        if self.comparison == "at_least":
            return value - error >= threshold
        if self.comparison == "within":
            return abs(value) + error <= threshold
        return value + error <= threshold

    def worst(self, values: Iterable[float]) -> float:
        """Return the value nearest to failing, or furthest beyond it."""
        if self.comparison == "at_least":
            return min(values)
        if self.comparison == "within":
            return max(values, key=abs)
        return max(values)

    def expected_cells(self) -> list[CellKey]:
        """Return every combination of the values under `cells`."""
        combinations = product(*self.cells.values())
        return [dict(zip(self.cells, values, strict=True)) for values in combinations]


def _options_of(measure: str) -> type[BaseModel]:
    """Return a model of the options that a measure takes: its parameters after the metrics."""
    function = MEASURES[measure]
    hints = get_type_hints(function)
    parameters = list(signature(function).parameters.values())
    fields: dict[str, Any] = {}
    for parameter in parameters[1:]:
        default = ... if parameter.default is Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model("Options", __base__=Frozen, **fields)


class Claims(Frozen):
    """All claims by name, and the scales at which none can be tested, each with the reason."""

    scales_that_cannot_tell: dict[str, str]
    claims: dict[str, Claim]

    def check(self, settings: Settings, file: Path = CONFIGS / CLAIMS) -> None:
        """Raise UserError, naming `file` and the claim, if a claim refers to anything that the
        settings lack.
        """
        for name, claim in self.claims.items():
            where = f"{file.name}: claims.{name}"
            _require(f"{where}.experiment", [claim.experiment], settings.experiments)
            _check_options(f"{where}.options", claim, settings)
            _check_cells(f"{where}.cells", claim.cells, settings.experiments[claim.experiment])


def _check_options(where: str, claim: Claim, settings: Settings) -> None:
    """Raise UserError if options name unknown variants, or a setting that is not a number in one of
    them.
    """
    known = settings.experiments[claim.experiment].variants
    variants = claim.options.get("variants") or list(known)
    _require(f"{where}.variants", variants, known)
    setting = claim.options.get("setting")
    if setting is None:
        return
    for variant in variants:
        try:
            float(attrgetter(setting)(settings.of_variant(claim.experiment, variant)))
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}.setting: {setting!r} is not a number in the settings of {variant}"
            ) from error


def _check_cells(
    where: str, cells: Mapping[Column, Collection[str | int]], experiment: Experiment
) -> None:
    """Raise UserError if a value under `cells` is none of the experiment's, or no activation."""
    depth = max(variant.network.depth for variant in experiment.variants.values())
    known: dict[Column, Collection[str | int]] = {
        "parameterization": experiment.parameterizations,
        "variant": experiment.variants,
        "layer": range(1, depth),
        "side": ("left", "right"),
    }
    for column, values in cells.items():
        if column in known:
            _require(f"{where}.{column}", values, known[column])
    for name in cells.get("activation", ()):
        try:
            activation(str(name))
        except ValueError as error:
            raise UserError(f"{where}.activation: {error}") from error


def _require(where: str, values: Collection[str | int], known: Collection[str | int]) -> None:
    for value in values:
        if value not in known:
            raise UserError(f"{where}: {value!r} is not one of {', '.join(map(str, known))}")


def load_claims(path: Path = CONFIGS / CLAIMS) -> Claims:
    """Load the claims. Raises UserError, naming the file and the key, for anything invalid."""
    layer = Layer(str(path), read_yaml(path))
    claims = validated(Claims, layer.content, [layer])
    folder = path.parents[1]
    known = scales(folder)
    for scale in sorted(claims.scales_that_cannot_tell):
        if scale not in known:
            raise UserError(
                f"{path}: scales_that_cannot_tell.{scale}: there is no such scale in {folder}"
            )
    return claims


def cell_label(cell: CellKey) -> str:
    """Return a cell's values as words, such as `GELU, layer 3`."""
    words = []
    for column, value in cell.items():
        if column == "activation":
            words.append(activation(str(value)).label)
        elif column == "layer":
            words.append(f"layer {value}")
        elif column == "index":
            words.append(f"i = {value}")
        else:
            words.append(str(value))
    return ", ".join(words)
