"""A cell: one combination of an experiment's values; and how its trials are split into jobs."""

from typing import NamedTuple

from lowrank_dynamics.errors import UserError

BASE = "base"
"""The name of the variant of an experiment that has no others."""


class Cell(NamedTuple):
    """One job's combination of an experiment's values; its fields are columns of the metrics."""

    activation: str
    parameterization: str
    variant: str = BASE

    @property
    def name(self) -> str:
        """The cell's part of a path, such as `gelu-s_big` or, for a variant, `gelu-full-adam`."""
        parts = [self.activation, self.parameterization]
        if self.variant != BASE:
            parts.append(self.variant)
        return "-".join(parts)

    @classmethod
    def named(cls, name: str) -> "Cell":
        """Return the cell that has this `name`; no part of it has a dash."""
        return cls(*name.split("-"))


def shard_name(trials: range) -> str:
    """Return the part of a path that names a job's trials, such as `0-4` for the first five."""
    return f"{trials.start}-{trials.stop - 1}"


def shard_of(name: str) -> range:
    """Return the trials that `shard_name` named. Raises UserError for any other text."""
    first, dash, last = name.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise UserError(
            f"the trials of a job are the first and the last, such as 0-4, and not {name!r}"
        )
    return range(int(first), int(last) + 1)
