"""The base of all settings: typed, frozen, complete."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from annotated_types import GroupedMetadata
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A valid experiment name, also in paths."""
PathPart = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_.]*$")]
"""A valid name of a variant or an alternative: part of a name in paths, possibly a number."""
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
"""Bounds beyond what any machine can compute, so that a typo is reported before a job starts."""


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def one_of(known: Iterable[str], name: str) -> str:
    """Return `name`. Raises ValueError, listing the known names, if it is unknown."""
    if name not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    return name


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return `names`. Raises ValueError if one of them is used twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"each may be named once, got {list(names)}")
    return names


@dataclass(frozen=True)
class NameIn(GroupedMetadata):
    """The annotation of a setting that must be one of the `known` names, which editors list."""

    known: Collection[str]

    def __iter__(self) -> Iterator[Any]:
        """Yield pydantic's annotations."""
        yield AfterValidator(partial(one_of, self.known))
        names: list[Any] = sorted(self.known)
        yield Field(json_schema_extra={"enum": names})
