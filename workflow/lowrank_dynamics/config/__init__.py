"""The settings: typed, frozen, loaded from `configs/` and checked before any job starts.

Nothing here imports torch, because Snakemake loads the settings to build the graph of jobs.
"""

from lowrank_dynamics.config.data.convolved import ConvolvedData
from lowrank_dynamics.config.data.kinds import DrawnData
from lowrank_dynamics.config.files import (
    SCALES,
    load_settings,
    load_study,
    load_with_study,
    measured_scale,
    requested,
    split_scale,
    stored_at,
)
from lowrank_dynamics.config.models import (
    BASE,
    Cell,
    Experiment,
    Network,
    Observe,
    Settings,
    Training,
)
from lowrank_dynamics.config.study import Study

__all__ = [
    "BASE",
    "SCALES",
    "Cell",
    "ConvolvedData",
    "DrawnData",
    "Experiment",
    "Network",
    "Observe",
    "Settings",
    "Study",
    "Training",
    "load_settings",
    "load_study",
    "load_with_study",
    "measured_scale",
    "requested",
    "split_scale",
    "stored_at",
]
