"""The statements in `configs/claims.yaml`: typed, frozen, checked before any job starts."""

from collections.abc import Callable, Collection, Iterable
from inspect import Parameter, signature
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import Field, ValidationError, create_model, model_validator

from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.config.base import Frozen, name_in
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.files import CLAIMS, CONFIGS, scales
from lowrank_dynamics.config.messages import validated
from lowrank_dynamics.config.registries import activation
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.errors import UserError

Comparison = Literal["at_least", "at_most", "within"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
Column = Literal["activation", "parameterization", "variant", "layer", "side", "index"]
CellKey = dict[Column, str | int]
"""A cell of a claim: a value for each of the columns that tell its cells apart."""


class Claim(Frozen):
    """One statement about one figure, and what it is taken to mean.

    In each cell, a combination of the values under `cells`, the measured value must be `at_least`,
    `at_most` or, regardless of sign, `within` the threshold: in the mean over trials or, where the
    paper says "always", in the `worst` trial. `partly` is the threshold of a weaker reading, if
    there is one.
    """

    figure: Annotated[str, name_in(FIGURES)] = Field(description="the figure that shows it")
    place: str = Field(description="where the paper says it")
    statement: str = Field(description="what the paper says, in our words")
    quantity: str = Field(description="what is measured, in words")
    experiment: str
    measure: Annotated[str, name_in(MEASURES)]
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
        hints = get_type_hints(MEASURES[self.measure])
        _, *parameters = signature(MEASURES[self.measure]).parameters.values()
        fields: dict[str, Any] = {
            each.name: (hints[each.name], ... if each.default is Parameter.empty else each.default)
            for each in parameters
        }
        try:
            create_model("Options", __base__=Frozen, **fields).model_validate(self.options)
        except ValidationError as error:
            problem = error.errors()[0]
            raise ValueError(
                f"options.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            ) from error
        return self

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if sum(getattr(self, name) is not None for name in COMPARISONS) != 1:
            raise ValueError(f"there must be one of {', '.join(COMPARISONS)}")
        if self.partly is not None and self.meets(self.partly):
            raise ValueError(f"partly must be a weaker threshold, is {self.partly:g}")
        return self

    @property
    def comparison(self) -> Comparison:
        """The name of the threshold that is set."""
        return next(name for name in COMPARISONS if getattr(self, name) is not None)

    @property
    def threshold(self) -> float:
        """The threshold that is set."""
        return float(getattr(self, self.comparison))

    def meets(self, value: float, error: float = 0.0, *, weaker: bool = False) -> bool:
        """Return whether `value` meets the threshold, or the `weaker` one, anywhere within its
        `error`.
        """
        threshold = self.partly if weaker else self.threshold
        if threshold is None:
            return False
        if self.comparison == "at_least":
            return value - error >= threshold
        return (abs(value) if self.comparison == "within" else value) + error <= threshold

    def worst(self, values: Iterable[float]) -> float:
        """Return the value nearest to failing, or furthest beyond it."""
        if self.comparison == "at_least":
            return min(values)
        return max(values, key=abs if self.comparison == "within" else float)

    def expected_cells(self) -> list[CellKey]:
        """Return every combination of the values under `cells`."""
        return [
            dict(zip(self.cells, values, strict=True)) for values in product(*self.cells.values())
        ]


class Claims(Frozen):
    """All claims by name, and the scales at which none can be tested, each with the reason."""

    scales_that_cannot_tell: dict[str, str]
    claims: dict[str, Claim]

    def check(self, settings: Settings, file: Path = CONFIGS / CLAIMS) -> None:
        """Raise UserError, naming `file` and the claim, if a claim refers to anything that the
        settings lack.
        """
        for name, claim in self.claims.items():
            _check(
                f"{file.name}: claims.{name}.experiment", [claim.experiment], settings.experiments
            )
            experiment = settings.experiments[claim.experiment]
            known: dict[Column, Collection[str | int]] = {
                "parameterization": experiment.parameterizations,
                "variant": experiment.variants,
                "layer": range(1, experiment.network.depth),
                "side": ("left", "right"),
            }
            _check_options(f"{file.name}: claims.{name}.options", claim, settings)
            for column, values in claim.cells.items():
                _check(
                    f"{file.name}: claims.{name}.cells.{column}", values, known.get(column, values)
                )
            for value in claim.cells.get("activation", ()):
                try:
                    activation(str(value))
                except ValueError as error:
                    raise UserError(
                        f"{file.name}: claims.{name}.cells.activation: {error}"
                    ) from error


def _check_options(where: str, claim: Claim, settings: Settings) -> None:
    """Raise UserError if options name unknown variants, or a setting that is not a number in one of
    them.
    """
    there = settings.experiments[claim.experiment].variants
    variants = claim.options.get("variants") or list(there)
    _check(f"{where}.variants", variants, there)
    if (setting := claim.options.get("setting")) is None:
        return
    for variant in variants:
        try:
            float(attrgetter(setting)(settings.of_variant(claim.experiment, variant)))
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}.setting: {setting!r} is no number in the settings of {variant}"
            ) from error


def _check(where: str, values: Collection[str | int], known: Collection[str | int]) -> None:
    for value in values:
        if value not in known:
            raise UserError(f"{where}: {value!r} is not one of {', '.join(map(str, known))}")


def load_claims(path: Path = CONFIGS / CLAIMS) -> Claims:
    """Load the claims. Raises UserError, naming the file and the key, for anything invalid."""
    claims = validated(Claims, read_yaml(path), path)
    if unknown := sorted(set(claims.scales_that_cannot_tell) - set(scales(path.parent))):
        raise UserError(
            f"{path}: scales_that_cannot_tell.{unknown[0]}: there is no such scale in {path.parent}"
        )
    return claims


def cell_label(cell: CellKey) -> str:
    """Return a cell's values as words, such as `GELU, layer 3`."""
    words: dict[Column, Callable[[Any], str]] = {
        "activation": lambda name: activation(name).label,
        "layer": "layer {}".format,
        "index": "i = {}".format,
    }
    return ", ".join(words.get(column, str)(value) for column, value in cell.items())
