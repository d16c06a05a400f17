"""Studies besides the paper's experiments: the sensitivity study, which varies declared choices,
and our own.

`configs/sensitivity.yaml` and `configs/beyond.yaml` define them.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lowrank_dynamics.config.base import Frozen, Name, Part
from lowrank_dynamics.errors import UserError

Changes = dict[str, dict[str, Any]]
"""The changes to each experiment."""
DECLARED = "declared"
"""The name of the baseline of all alternatives: the declared values, in the study's own trials and
cells.
"""


class Choice(Frozen):
    """One declared choice: the declared value in words, and what its alternatives change."""

    label: str
    declared: str
    alternatives: dict[Part, Annotated[Changes, Field(min_length=1)]] = Field(min_length=1)


class Alternative(NamedTuple):
    """One value that a choice might have had."""

    choice: str
    value: str
    changes: Changes


class Study(Frozen):
    """All varied choices, and what all alternatives change in each experiment."""

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

    def changes(self, name: str) -> Changes:
        """Return what an alternative changes; `declared` changes nothing in the experiments of all
        alternatives.

        Raises UserError, listing the alternatives, if it does not exist.
        """
        if name == DECLARED:
            return {
                experiment: {} for each in self.alternatives.values() for experiment in each.changes
            }
        if name not in self.alternatives:
            raise UserError(
                f"there is no alternative {name!r}; choose one of {', '.join(self.alternatives)}"
            )
        return self.alternatives[name].changes

    def check(self, experiments: Collection[str]) -> None:
        """Raise UserError, naming the experiment, if a change is to one that does not exist."""
        known = ", ".join(experiments)
        changes = {"experiments.": self.experiments}
        changes |= {
            f"alternative {name}: ": each.changes for name, each in self.alternatives.items()
        }
        for where, changed in changes.items():
            for name in changed:
                if name not in experiments:
                    there = f"sensitivity.yaml: {where}{name}"
                    raise UserError(f"{there}: there is no such experiment; choose one of {known}")


class Beyond(Frozen):
    """Our own experiments, in the form of `paper.yaml`, and what the other scales change in
    each.
    """

    experiments: dict[Name, dict[str, Any]] = Field(min_length=1)
    scales: dict[str, Changes]

    def added_to(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of `paper.yaml` with these experiments, which may be `like` its own,
        appended.

        Raises UserError, naming it, for an experiment that already exists.
        """
        own = paper.get("experiments")
        if not isinstance(own, dict):
            return dict(paper)
        if both := sorted(set(own) & set(self.experiments)):
            raise UserError(
                f"beyond.yaml: experiments.{both[0]}: paper.yaml has an experiment of this name"
            )
        return {**paper, "experiments": {**own, **self.experiments}}
