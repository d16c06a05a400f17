"""The sensitivity study as `configs/sensitivity.yaml` has it: which declared choices are varied, and how."""

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lowrank_dynamics.config.base import Frozen
from lowrank_dynamics.errors import UserError

Name = Annotated[str, Field(pattern=r"^[a-z0-9_.]+$")]
Changes = dict[str, dict[str, Any]]
"""By experiment, what is changed of it."""
DECLARED = "declared"
"""The name of what all alternatives are compared with: the declared values, in the study's own trials and cells."""


class Choice(Frozen):
    """One declared choice: the declared value in words, and what the alternatives to it change."""

    label: str
    declared: str
    alternatives: dict[Name, Annotated[Changes, Field(min_length=1)]] = Field(min_length=1)


class Alternative(NamedTuple):
    """One value that a choice might have had."""

    choice: str
    value: str
    changes: Changes


class Study(Frozen):
    """All choices that are varied, and what all alternatives change of each experiment."""

    experiments: Changes
    choices: dict[Name, Choice]

    @property
    def alternatives(self) -> dict[str, Alternative]:
        """Every alternative by its name in paths, such as `separation_4`."""
        return {
            f"{name}_{value}": Alternative(name, value, changes)
            for name, choice in self.choices.items()
            for value, changes in choice.alternatives.items()
        }

    def changes(self, name: str) -> tuple[Changes, Changes]:
        """Return, by experiment of `name`, what all alternatives change in it, and what that one changes.

        `name` is an alternative or `declared`. Raises UserError, with the names there are, if there is none.
        """
        if name != DECLARED and name not in self.alternatives:
            raise UserError(f"there is no alternative {name!r}; choose one of {', '.join(self.alternatives)}")
        varied: Changes = {experiment: {} for each in self.alternatives.values() for experiment in each.changes}
        own = varied if name == DECLARED else self.alternatives[name].changes
        return {experiment: self.experiments.get(experiment, {}) for experiment in own}, own

    def check(self, experiments: Iterable[str]) -> None:
        """Raise UserError, which names it, if something is to be changed of an experiment that there is not."""
        known = list(experiments)
        named = {f"experiments.{name}": name for name in self.experiments}
        for alternative, (_, _, changes) in self.alternatives.items():
            named |= {f"alternative {alternative}: {name}": name for name in changes}
        for where, name in named.items():
            if name not in known:
                raise UserError(
                    f"sensitivity.yaml: {where}: there is no such experiment; choose one of {', '.join(known)}"
                )
