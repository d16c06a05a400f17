"""The basis of all settings: typed, frozen, complete; and how one block of settings changes another."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""What an experiment may be called, also in paths."""
Part = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_.]*$")]
"""What a variant or an alternative may be called: a part of a name in paths, which may be a number."""
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
"""Bounds beyond what any machine can compute, so that a slip of the keyboard is told before a job starts."""


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def one_of(known: Iterable[str], name: str) -> str:
    """Return `name` if it is known. Raises ValueError, with the names that are, if not."""
    if name not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    return name


def name_in(known: Iterable[str]) -> AfterValidator:
    """Return what checks a field by `one_of`."""
    return AfterValidator(partial(one_of, known))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any], *, known_only: bool = True, where: str = "") -> Any:
    """Return `base` with the values of `changes` in place of its own, at any depth.

    Raises ValueError, which says `where`, for a key that `base` lacks, if `known_only`, and for a block of keys in
    place of one value, or the reverse.
    """
    result = dict(base)
    for key, value in changes.items():
        place, is_block = f"{where}{key}", isinstance(base.get(key), dict)
        if key not in base and known_only:
            raise ValueError(f"{place}: unknown key; the keys are {', '.join(map(str, base))}")
        if key in base and is_block != isinstance(value, dict):
            raise ValueError(f"{place}: must {'hold keys' if is_block else 'be one value'}")
        result[key] = merged(base[key], value, known_only=known_only, where=f"{place}.") if is_block else value
    return result
