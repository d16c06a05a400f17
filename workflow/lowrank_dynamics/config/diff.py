"""How settings differ: what a run reduces from the paper's, and whether a run's match a
reference's.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

INDIFFERENT = {"trials", "threads"}
"""Settings that change no number of a trial, except by rounding."""
SPLIT = {"samples_at_once"}
"""How work is split into chunks."""


class Difference(NamedTuple):
    """A key, such as `training.steps`, at which two settings differ, and both values; None if
    absent.
    """

    key: str
    here: Any
    there: Any


def differences(here: BaseModel, there: BaseModel) -> list[Difference]:
    """Return every difference between two settings, in order, except in how work is split into
    chunks.
    """
    ours, theirs = _flat(here.model_dump(mode="json")), _flat(there.model_dump(mode="json"))
    differences = []
    for key in dict.fromkeys([*theirs, *ours]):
        if key not in SPLIT and ours.get(key) != theirs.get(key):
            differences.append(Difference(key, ours.get(key), theirs.get(key)))
    return differences


def differing_keys(here: BaseModel, there: BaseModel) -> list[str]:
    """Return the keys at which two settings differ, except `INDIFFERENT` ones."""
    keys = [difference.key for difference in differences(here, there)]
    return [key for key in keys if key not in INDIFFERENT]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by keys such as `training.steps`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
