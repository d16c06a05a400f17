"""The comparison of a run with the reference as a Markdown page."""

from collections.abc import Iterable

import pandas as pd

from lowrank_dynamics.analysis.comparison import Outcome, Uncompared
from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.report.markdown import Grid, markdown, stamp

PHRASES = {
    Outcome.SAME: "have the same numbers",
    Outcome.WITHIN: "are within the spread of the trials",
    Outcome.ONE_TRIAL: "differ and have one trial, so no spread",
    Outcome.DIFFERS: "differ",
    Outcome.MISSING: "are not in the run",
}


def as_page(
    compared: pd.DataFrame,
    not_compared: Iterable[Uncompared],
    scale: str,
    unverified: Iterable[str],
) -> str:
    """Return the page: the counts, then each experiment, what differs, what is not compared."""
    lines = [
        f"# The run at {scale} scale against the reference",
        "",
        f"{summary(compared)}.",
        "",
        *stamp(unverified),
    ]
    if (by_experiment := experiments(compared)).rows:
        lines += markdown(*by_experiment)
    for heading, grid in (
        ("What differs", differing(compared)),
        ("What is not compared", uncompared(not_compared)),
    ):
        if grid.rows:
            lines += ["", f"## {heading}", "", *markdown(*grid)]
    return "\n".join(lines) + "\n"


def summary(compared: pd.DataFrame) -> str:
    """Return how many quantities have each outcome."""
    if compared.empty:
        return "Nothing was compared: there is no reference with these settings"
    counts = compared["outcome"].value_counts()
    words = ", ".join(
        f"{counts[outcome]:,} {phrase}" for outcome, phrase in PHRASES.items() if outcome in counts
    )
    return f"Of {len(compared):,} quantities of the reference {words}"


def experiments(compared: pd.DataFrame) -> Grid:
    """Return, for each experiment, how many quantities have each outcome."""
    furthest = "furthest from the reference, relative to the largest"
    header = ("experiment", "trials", "reference", "its trials", *Outcome, furthest)
    return Grid(
        header, [_experiment_line(rows) for _, rows in compared.groupby("experiment", sort=False)]
    )


def differing(compared: pd.DataFrame) -> Grid:
    """Return each quantity that differs or that the run lacks."""
    header = ("experiment", "cell", "layer", "quantity", "points within the tolerance", "furthest")
    rows = compared[compared["outcome"].isin([Outcome.DIFFERS, Outcome.MISSING])]
    return Grid(header, [_quantity_line(row) for _, row in rows.iterrows()])


def uncompared(named: Iterable[Uncompared]) -> Grid:
    """Return what is not compared, and why."""
    return Grid(("what", "why"), list(named))


def _experiment_line(rows: pd.DataFrame) -> tuple[str, ...]:
    first = rows.iloc[0]
    counts = (f"{int((rows['outcome'] == outcome).sum()):,}" for outcome in Outcome)
    run, reference = (
        (first["experiment"], str(first["trials"])),
        (first["scale"], str(first["reference_trials"])),
    )
    return *run, *reference, *counts, f"{rows['difference'].max():.1g}"


def _quantity_line(row: pd.Series) -> tuple[str, ...]:
    cell = Cell(*(row[name] for name in Cell._fields)).name
    shares = f"{row['within']:.0%} of {row['points']}", f"{row['difference']:.1g}"
    return row["experiment"], cell, str(row["layer"]), row["quantity"], *shares
