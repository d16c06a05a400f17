"""The base of all settings: typed, frozen, complete; and how one block of settings changes
another.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A valid experiment name, also in paths."""
Part = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_.]*$")]
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


def name_in(known: Iterable[str]) -> AfterValidator:
    """Return `one_of` as a field validator."""
    return AfterValidator(partial(one_of, known))


def merged(
    base: Mapping[str, Any], changes: Mapping[str, Any], *, known_only: bool = True, where: str = ""
) -> Any:
    """Return `base` with the values of `changes` replacing its own, at any depth.

    Raises ValueError, prefixed with `where`, for a key that `base` lacks, if `known_only`, and for
    a block of keys in place of one value, or vice versa.
    """
    result = dict(base)
    for key, value in changes.items():
        place, is_block = f"{where}{key}", isinstance(base.get(key), dict)
        if key not in base and known_only:
            raise ValueError(f"{place}: unknown key; the keys are {', '.join(map(str, base))}")
        if key in base and is_block != isinstance(value, dict):
            raise ValueError(f"{place}: must {'hold keys' if is_block else 'be one value'}")
        result[key] = (
            merged(base[key], value, known_only=known_only, where=f"{place}.")
            if is_block
            else value
        )
    return result
