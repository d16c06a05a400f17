"""What produced an experiment's metrics, and its reductions of the paper's settings, from
provenance alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.settings import Cell, Settings
from lowrank_dynamics.config.yaml import as_yaml
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.provenance import Origin, concise

SHARED = ("code", "libraries", "python", "machine")
"""What is stated once for an experiment's cells, if they have it in common."""


class Production(NamedTuple):
    """One experiment as run.

    The `trials` of each of the `cells`, which took `seconds` in all and `megabytes` at most; the
    `data`, by file; what the cells have in common; the settings as YAML; and how those differ from
    the paper's.
    """

    name: str
    trials: int
    cells: Mapping[str, Origin]
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


def produced(name: str, file: Path, scale: str, paper: Settings) -> Production:
    """Return how the experiment called `name`, with its metrics in `file`, was run at a scale.

    `paper` has the paper's settings. Raises UserError if the file holds something else.
    """
    run = metrics.read(file, name, scale)
    cells, common = run.cells, concise(run.provenance)
    kinds = sorted({kind for cell in cells.values() for kind in cell.megabytes})
    by_variant = {cell["variant"]: cell["settings"] for cell in run.provenance["cells"].values()}
    first, *others = by_variant.values()
    return Production(
        name=name,
        trials=min(cell.settings.trials for cell in cells.values() if cell.settings),
        cells=cells,
        seconds=sum(cell.seconds for cell in cells.values()),
        megabytes={
            kind: max(cell.megabytes.get(kind, 0) for cell in cells.values()) for kind in kinds
        },
        data=next(iter(cells.values())).data,
        shared={key: common[key] for key in SHARED if key in common},
        settings=as_yaml(by_variant if others else first),
        reductions=[
            *_fewer_cells(cells, paper.cells(name)),
            *_changed_settings(name, cells, paper),
        ],
    )


def _fewer_cells(run: Iterable[str], paper: Iterable[Cell]) -> list[Difference]:
    """Return the parts of their names in which a run's cells differ from the paper's."""
    found = []
    ours = [Cell(*name.split("-")) for name in run]  # no part of a name has a dash
    for field in Cell._fields:
        here, there = (
            list(dict.fromkeys(getattr(cell, field) for cell in cells)) for cells in (ours, paper)
        )
        if set(here) != set(there):
            found.append(Difference(f"{field}s", ", ".join(here), ", ".join(there)))
    return found


def _changed_settings(name: str, cells: Mapping[str, Origin], paper: Settings) -> list[Difference]:
    """Return how the settings of a run's variants differ from the paper's, each difference once."""
    found: list[Difference] = []
    by_variant = {cell.variant: cell.settings for cell in cells.values() if cell.settings}
    for variant, own in by_variant.items():
        if variant in paper.experiment(name).variants:
            changes = differences(own, paper.of_variant(name, variant))
            found += [change for change in changes if change not in found]
    return found
