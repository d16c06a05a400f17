"""Low-rank training dynamics of MLPs with smooth activations: the paper's method, its experiments
and its figures.

`subspace_report`, `low_rank`, `low_rank_like`, `merge` and `Watch` are the public interface for
models of your own, and `UserError` is what they raise; docs/library.md shows how to use them. They
are imported when they are first asked for, so that the command line and Snakemake start without
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lowrank_dynamics.version import __version__

if TYPE_CHECKING:
    from lowrank_dynamics.errors import UserError as UserError
    from lowrank_dynamics.models.low_rank import low_rank as low_rank
    from lowrank_dynamics.models.low_rank import low_rank_like as low_rank_like
    from lowrank_dynamics.models.merge import merge as merge
    from lowrank_dynamics.models.subspace_report import subspace_report as subspace_report
    from lowrank_dynamics.training.watch import Watch as Watch

__all__ = [
    "UserError",
    "Watch",
    "__version__",
    "low_rank",
    "low_rank_like",
    "merge",
    "subspace_report",
]

_PLACES = {
    "UserError": "errors",
    "Watch": "training.watch",
    "low_rank": "models.low_rank",
    "low_rank_like": "models.low_rank",
    "merge": "models.merge",
    "subspace_report": "models.subspace_report",
}


def __getattr__(name: str) -> Any:
    """Import a name of the public interface."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the public interface, for those who look for them."""
    return sorted(__all__)
