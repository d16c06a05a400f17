"""What a scale reduces of the paper's own settings."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lowrank_dynamics.config.models import Settings


class Reduction(NamedTuple):
    """A setting of an experiment that is not the paper's: its key, its value, and the value at paper scale."""

    key: str
    here: Any
    paper: Any


def reductions(settings: Settings, paper: Settings, experiment: str) -> list[Reduction]:
    """Return what `settings` change of an experiment, in the order of the settings; nothing at paper scale itself."""
    own, full = (dict(_flat(each.experiment(experiment).model_dump(mode="json"))) for each in (settings, paper))
    return [Reduction(key, own.get(key), full.get(key)) for key in {**full, **own} if own.get(key) != full.get(key)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
