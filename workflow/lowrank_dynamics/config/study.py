"""The names of the studies; and the sensitivity study, `configs/studies/sensitivity.yaml`."""

from collections import Counter
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from lowrank_dynamics.config.base import Frozen, Name, PathPart
from lowrank_dynamics.errors import UserError

Changes = dict[str, dict[str, Any]]
"""The changes to each experiment."""
BEYOND, SENSITIVITY = "beyond", "sensitivity"
"""The studies besides the paper's experiments: our own, and that of declared choices."""
DECLARED = "declared"
"""The name of the baseline of all alternatives."""


class Choice(Frozen):
    """One declared choice: the declared value in words, and what its alternatives change."""

    label: str
    declared: str
    alternatives: dict[PathPart, Annotated[Changes, Field(min_length=1)]] = Field(min_length=1)


class Alternative(NamedTuple):
    """One value that a choice might have had."""

    choice: str
    value: str
    changes: Changes


class Study(Frozen):
    """All varied choices, and the trials and cells with which all alternatives are judged.

    `declared` holds those; the declared values themselves are judged by the same. Steps and labels
    are those of one of the `scales`, at the others of which nothing is judged.
    """

    scales: list[str] = Field(min_length=1)
    declared: Changes
    choices: dict[Name, Choice]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        """Check that no two alternatives have the same name in paths."""
        names: list[str] = []
        for name, choice in self.choices.items():
            names += [f"{name}_{value}" for value in choice.alternatives]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ValueError(f"two alternatives are called {repeated[0]}; rename one of them")
        return self

    @property
    def alternatives(self) -> dict[str, Alternative]:
        """Every alternative by its name in paths, such as `separation_4`."""
        alternatives = {}
        for name, choice in self.choices.items():
            for value, changes in choice.alternatives.items():
                alternatives[f"{name}_{value}"] = Alternative(name, value, changes)
        return alternatives

    @property
    def experiments(self) -> list[str]:
        """The experiments that some alternative changes."""
        names = [name for other in self.alternatives.values() for name in other.changes]
        return list(dict.fromkeys(names))

    def require_scale(self, name: str) -> None:
        """Raise UserError if the steps and labels of the alternatives are not those of a scale."""
        if name not in self.scales:
            raise UserError(
                f"the sensitivity study has the steps of {self.scales[0]} scale, so at {name} scale"
                " its labels would be wrong; name the claims.parquet of single alternatives"
            )

    def changes(self, name: str) -> Changes:
        """Return what the alternative called `name` changes besides what all do.

        That is nothing for `declared`. Raises UserError, listing the alternatives, if it does not
        exist.
        """
        if name == DECLARED:
            return {experiment: {} for experiment in self.experiments}
        if name not in self.alternatives:
            choices = ", ".join(self.alternatives)
            raise UserError(f"there is no alternative {name!r}; choose one of {choices}")
        return self.alternatives[name].changes
