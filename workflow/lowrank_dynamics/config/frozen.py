"""What all settings share: they are typed, frozen and complete, and changes are put in their places."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def one_of(known: Iterable[str], name: str) -> str:
    """Return `name` if it is known. Raises ValueError, with the names that are, if not."""
    if name not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    return name


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` in their places, at any depth; a key that `base` lacks is left to validation."""
    nested = {
        key: changed(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }
    return {**base, **nested}
