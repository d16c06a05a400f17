"""How settings differ: what a run reduces from the paper's, and whether a run's match a
reference's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

INDIFFERENT = {"trials", "threads"}
"""Settings that change no number of a trial, except by rounding."""


class Difference(NamedTuple):
    """A key, such as `training.steps`, at which two settings differ, and both values; None if
    absent.
    """

    key: str
    here: Any
    there: Any


def differences(here: BaseModel, there: BaseModel) -> list[Difference]:
    """Return every difference between two settings, in order, except in how work is split into jobs
    and chunks.
    """
    ways = {"trials_per_job", "samples_at_once"}
    own, other = (dict(_flat(each.model_dump(mode="json", exclude=ways))) for each in (here, there))
    keys = dict.fromkeys([*other, *own])
    return [
        Difference(key, own.get(key), other.get(key))
        for key in keys
        if own.get(key) != other.get(key)
    ]


def differing_keys(here: BaseModel, there: BaseModel) -> list[str]:
    """Return the keys at which two settings differ, except `INDIFFERENT` ones."""
    return [
        difference.key
        for difference in differences(here, there)
        if difference.key not in INDIFFERENT
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
