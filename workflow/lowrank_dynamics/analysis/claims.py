"""The statements in `configs/statements`: typed, frozen, checked before any job starts."""

import math
from collections.abc import Collection, Iterable
from inspect import Parameter, signature
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from lowrank_dynamics.analysis.matched_loss import LEVELS
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.config.base import Frozen, NameIn
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.folder import CLAIMS, CONFIGS, scales
from lowrank_dynamics.config.messages import problem_of, validated
from lowrank_dynamics.config.overlay import Layer
from lowrank_dynamics.config.registries import SIDES, activation, plain
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.errors import UserError

COMPARISONS = ("at_least", "at_most", "within", "between")
COMPARED_WITH = ("to", "of", "start", "end")
"""The options of measures that name a cell to compare with."""
Role = Literal["claim", "check"]
Pair = Annotated[tuple[float, float], Field(strict=False)]
Column = Literal["activation", "parameterization", "variant", "layer", "side", "index", "level"]
CellKey = dict[Column, str | int | float]
"""A cell of a claim: a value for each of the columns that distinguish its cells."""
CellsOf = dict[Column, Annotated[list[str | int | float], Field(min_length=1)]]
"""Values of the columns; the cells are their combinations."""


class Interval(NamedTuple):
    """The values that one reading of a statement allows, from `low` to `high`; either may be
    infinite.
    """

    low: float
    high: float

    def contains(self, least: float, most: float) -> bool:
        """Return whether all values from `least` to `most` are allowed."""
        return self.low <= least and most <= self.high

    def excludes(self, least: float, most: float) -> bool:
        """Return whether none of the values from `least` to `most` is allowed."""
        return most < self.low or self.high < least

    def margin(self, value: float) -> float:
        """Return how far a value lies from the nearer end: negative outside."""
        return min(value - self.low, self.high - value)


def interval(comparison: str, threshold: Any) -> Interval:
    """Return the values that a threshold allows, by the name of its comparison."""
    if comparison == "at_least":
        return Interval(threshold, math.inf)
    if comparison == "at_most":
        return Interval(-math.inf, threshold)
    if comparison == "within":
        return Interval(-threshold, threshold)
    low, high = threshold
    return Interval(low, high)


class Claim(Frozen):
    """One statement about one figure, and what it is taken to mean.

    In each cell, a combination of the values under `cells`, the measured value must be `at_least`
    or `at_most` the threshold, `within` it regardless of sign, or `between` two: in the mean over
    trials or, where the paper says "always", in the worst trial. `partly` is the threshold of a
    weaker reading, if there is one. A `check` follows from the mathematics: if it fails, the code
    is wrong.
    """

    role: Role = Field(
        default="claim",
        description="claim, or check if it follows from the mathematics once the code is right",
    )
    figure: Annotated[str, NameIn(FIGURES)] = Field(description="the figure that shows it")
    place: str = Field(description="where the paper says it")
    statement: str = Field(description="what the paper says, in our words")
    quantity: str = Field(description="what is measured, in words")
    experiment: str
    measure: Annotated[str, NameIn(MEASURES)]
    options: dict[str, Any] = Field(default={}, description="what the measure needs to know")
    cells: CellsOf = Field(min_length=1, description="values of the metrics' columns")
    over_trials: Literal["mean", "worst"] = "mean"
    at_least: float | None = None
    at_most: float | None = None
    within: float | None = None
    between: Pair | None = None
    partly: float | Pair | None = None
    because: str = Field(description="why this threshold")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        """Check the options against the parameters of the measure."""
        try:
            _options_of(self.measure).model_validate(self.options)
        except ValidationError as error:
            problem = problem_of(error.errors()[0], self.options)
            key = ".".join(map(str, problem.keys))
            raise ValueError(f"options.{key}: {problem.message}") from error
        return self

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        given = [name for name in COMPARISONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"set exactly one of {', '.join(COMPARISONS)}")
        if isinstance(self.partly, tuple) and self.between is None:
            raise ValueError(f"partly must be a number, like {given[0]}")
        if isinstance(self.partly, float) and self.between is not None:
            raise ValueError("partly must be two numbers, like between")
        weaker, reading = self.weaker, self.reading
        if reading.low > reading.high:
            raise ValueError(f"{given[0]}: {getattr(self, given[0])} allows no value")
        contains = weaker.low <= reading.low and reading.high <= weaker.high
        if self.partly is not None and (weaker == reading or not contains):
            raise ValueError(f"partly must be a weaker threshold, is {self.partly}")
        return self

    @property
    def comparison(self) -> str:
        """The name of the threshold that is set."""
        return next(name for name in COMPARISONS if getattr(self, name) is not None)

    @property
    def reading(self) -> Interval:
        """The values with which the statement holds."""
        return interval(self.comparison, getattr(self, self.comparison))

    @property
    def weaker(self) -> Interval:
        """The values with which it holds at least in its weaker reading: the same if it has
        none.
        """
        if self.partly is None:
            return self.reading
        return interval(self.comparison, self.partly)

    @property
    def variants(self) -> set[str]:
        """The variants that its cells and options name; none if it is about all of them."""
        named = {str(name) for name in self.cells.get("variant", ())}
        named.update(self.options.get("variants") or ())
        for cell in self.compared_with.values():
            named.update(map(str, cell.get("variant", ())))
        return named

    @property
    def compared_with(self) -> dict[str, CellsOf]:
        """The cells that its own are compared with, by the name of the option."""
        cells: dict[str, CellsOf] = {}
        for option in COMPARED_WITH:
            if option in self.options:
                cell = self.options[option]
                cells[option] = {column: [value] for column, value in cell.items()}
        return cells

    def worst(self, values: Iterable[float]) -> float:
        """Return the value nearest to failing, or furthest beyond it."""
        return min(values, key=self.reading.margin)

    def expected_cells(self) -> list[CellKey]:
        """Return every combination of the values under `cells`."""
        combinations = product(*self.cells.values())
        return [dict(zip(self.cells, values, strict=True)) for values in combinations]


def _options_of(measure: str) -> type[BaseModel]:
    """Return a model of the options that a measure takes: its parameters after the metrics."""
    function = MEASURES[measure]
    hints = get_type_hints(function, include_extras=True)
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
    """Raise UserError if options name a cell, a layer, activations or variants that are none, or a
    setting that is not a number in a variant.
    """
    options, experiment = claim.options, settings.experiments[claim.experiment]
    for name, cells in claim.compared_with.items():
        _check_cells(f"{where}.{name}", cells, experiment)
    if "layer" in options:
        _check_cells(where, {"layer": [options["layer"]]}, experiment)
    _check_activations(f"{where}.others", options.get("others", ()))
    known = experiment.variants
    variants = options.get("variants") or list(known)
    _require(f"{where}.variants", variants, known)
    setting = options.get("setting")
    if setting is None:
        return
    for variant in variants:
        try:
            float(attrgetter(setting)(settings.of_variant(claim.experiment, variant)))
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}.setting: {setting!r} is not a number in the settings of {variant}"
            ) from error


def _check_cells(where: str, cells: CellsOf, experiment: Experiment) -> None:
    """Raise UserError if a value in `cells` is none of the experiment's, or no activation."""
    depth = max(variant.network.depth for variant in experiment.variants.values())
    known: dict[Column, Collection[str | int | float]] = {
        "parameterization": experiment.parameterizations,
        "variant": experiment.variants,
        "layer": range(1, depth),
        "side": SIDES,
        "level": LEVELS,
    }
    for column, values in cells.items():
        if column in known:
            _require(f"{where}.{column}", values, known[column])
    _check_activations(f"{where}.activation", cells.get("activation", ()))


def _check_activations(where: str, names: Iterable[str | int | float]) -> None:
    for name in names:
        try:
            activation(str(name))
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error


def _require(
    where: str, values: Collection[str | int | float], known: Collection[str | int | float]
) -> None:
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
            words.append(plain(activation(str(value)).label))
        elif column == "layer":
            words.append(f"layer {value}")
        elif column == "index":
            words.append(f"i = {value}")
        elif column == "level":
            words.append(f"at {value:g} of the first loss")
        else:
            words.append(str(value))
    return ", ".join(words)
