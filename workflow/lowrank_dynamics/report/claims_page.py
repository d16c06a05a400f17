"""The page of all claims: a table that can be searched and filtered by verdict."""

from pathlib import Path

from lowrank_dynamics.analysis.table import (
    COLUMNS,
    measured,
    measured_or_why,
    summary,
    threshold,
    trials,
    weakest_cells,
)
from lowrank_dynamics.analysis.verdicts import ORDER
from lowrank_dynamics.report.rendering import render
from lowrank_dynamics.storage.tables import read


def write_claims_page(claims: Path, scale: str, path: Path) -> None:
    """Write the page of the verdicts in the file `claims` to `path`."""
    verdicts, origin = read(claims, COLUMNS)
    render(
        "claims_page.html.j2",
        path,
        title=f"Claims at {scale} scale",
        summary=summary(verdicts),
        unverified=origin.get("unverified"),
        verdicts=[str(verdict) for verdict in reversed(ORDER)],
        claims=weakest_cells(verdicts).to_dict("records"),
        cells={claim: cells.to_dict("records") for claim, cells in verdicts.groupby("claim")},
        measured=measured,
        measured_or_why=measured_or_why,
        threshold=threshold,
        trials=trials,
    )
