"""How each experiment of a run was computed, and what it reduced of the paper's settings, from the
provenance in its metrics alone.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from lowrank_dynamics.config.blocks import CellSettings
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.yaml import as_yaml
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import CellOrigin, concise, most_memory

SHARED = ("code", "libraries", "python", "machine")
"""What is stated once for an experiment's cells, if they have it in common."""


class ExperimentRecord(NamedTuple):
    """One experiment as run.

    The `trials` of each of the `cells`, which took `seconds` in all and `megabytes` at most; the
    `data`, by file; what the cells have in common; the settings as YAML; and how those differ from
    the paper's.
    """

    name: str
    trials: int
    cells: Mapping[str, CellOrigin]
    seconds: float
    megabytes: Mapping[str, int]
    data: Mapping[str, str]
    shared: Mapping[str, Any]
    settings: str
    reductions: list[Difference]

    @property
    def unverified(self) -> str:
        """The unverified data."""
        return self.data.get("unverified", "")


def experiment_record(measured: Metrics, name: str, paper: Settings) -> ExperimentRecord:
    """Return how the experiment called `name` was run, which was `measured`; `paper` has the
    paper's settings.
    """
    origins = list(measured.cells.values())
    by_variant = {origin.variant: origin.settings for origin in origins if origin.settings}
    common = concise(measured.provenance)
    fewer_cells = _fewer_cells(measured.cells, paper.cells(name))
    return ExperimentRecord(
        name=name,
        trials=min(origin.settings.trials for origin in origins if origin.settings),
        cells=measured.cells,
        seconds=sum(origin.seconds for origin in origins),
        megabytes=most_memory(origins),
        data=origins[0].data,
        shared={key: common[key] for key in SHARED if key in common},
        settings=_as_text(measured.provenance),
        reductions=fewer_cells + _changed_settings(name, by_variant, paper),
    )


def _as_text(provenance: Mapping[str, Any]) -> str:
    """Return the settings as YAML, by variant if there are several."""
    by_variant = {}
    for cell in provenance["cells"].values():
        by_variant[cell["variant"]] = cell["settings"]
    if len(by_variant) == 1:
        (settings,) = by_variant.values()
        return as_yaml(settings)
    return as_yaml(by_variant)


def _fewer_cells(run: Iterable[str], paper: Collection[Cell]) -> list[Difference]:
    """Return the parts of their names in which a run's cells differ from the paper's."""
    cells = [Cell.named(name) for name in run]
    differing = []
    for field in Cell._fields:
        here, there = _values(cells, field), _values(paper, field)
        if set(here) != set(there):
            differing.append(Difference(f"{field}s", ", ".join(here), ", ".join(there)))
    return differing


def _values(cells: Iterable[Cell], field: str) -> list[str]:
    """Return the values of one field, each once."""
    return list(dict.fromkeys(getattr(cell, field) for cell in cells))


def _changed_settings(
    name: str, by_variant: Mapping[str, CellSettings], paper: Settings
) -> list[Difference]:
    """Return how the settings of a run's variants differ from the paper's, each difference once."""
    changes: list[Difference] = []
    for variant, settings in by_variant.items():
        if variant in paper.experiment(name).variants:
            for change in differences(settings, paper.of_variant(name, variant)):
                if change not in changes:
                    changes.append(change)
    return changes
