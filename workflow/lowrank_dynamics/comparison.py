"""A run beside the reference, quantity by quantity, with tolerances that follow from the spread over trials."""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from lowrank_dynamics.config import BASE, Cell
from lowrank_dynamics.metrics import Metrics
from lowrank_dynamics.pages import markdown, stamp
from lowrank_dynamics.reference import SERIES, differing_settings, frame, references

POINT = [*SERIES, "step", "index"]
STANDARD_ERRORS = 3.0
"""How many standard errors two means over trials may lie apart: two runs with other draws rarely differ by more."""
ENOUGH = 0.95
"""The part of its points at which a quantity must be within the tolerance, because rarely is not never."""
COLUMNS = ["experiment", *SERIES, "trials", "points", "within", "difference", "outcome"]


class Outcome(StrEnum):
    """How a quantity of a run compares with the reference, from the best to the worst."""

    SAME = "same numbers"
    WITHIN = "within the spread"
    ONE_TRIAL = "one trial, no spread"
    DIFFERS = "differs"
    MISSING = "not in the run"


class Uncompared(NamedTuple):
    """A variant of an experiment whose settings no reference has, and in which keys that of `scale` differs."""

    experiment: str
    variant: str
    scale: str
    differing: list[str]


def compare_all(runs: Mapping[str, Metrics], folder: Path) -> tuple[pd.DataFrame, list[Uncompared]]:
    """Compare each variant of experiments, by name, with the reference in `folder` that has its settings.

    Returns one row for each quantity of what is compared, with `COLUMNS` and the `scale` of the reference, and what is
    not compared.
    """
    tables, uncompared = [pd.DataFrame(columns=[*COLUMNS, "scale"])], []
    for experiment, run in runs.items():
        kept = list(references(folder, experiment))
        for variant, own in run.variants.items():
            others = [each.variants[variant] for each in kept if variant in each.variants]
            candidates = [(differing_settings(own.settings, each.settings), each) for each in others]
            differing, nearest = min(candidates, key=lambda candidate: len(candidate[0]), default=([], None))
            if nearest is None or differing:
                scale = nearest.scale if nearest else ""
                uncompared.append(Uncompared(experiment, variant, scale, differing))
            else:
                tables.append(compare(own, nearest, experiment).assign(scale=nearest.scale))
    return pd.concat(tables, ignore_index=True), uncompared


def compare(run: Metrics, reference: Metrics, experiment: str) -> pd.DataFrame:
    """Return one row for each quantity that the reference has of each layer of the run's cells, with `COLUMNS`.

    Compared are the steps and trials that both have: `points` steps and indices, each a mean over `trials`. `within` is
    the part of them at which the means differ by at most the tolerance, `difference` the largest one between two
    trials, relative to the quantity's largest value. A tolerance is 3 standard errors over the trials of the reference,
    and at least the square root of the precision of the computation, which separates rounding from all else.
    """
    at = pc.unique(reference.table["step"])
    own = frame(Metrics(run.table.filter(pc.field("step").isin(at)), run.provenance))
    expected = frame(reference).merge(own[list(Cell._fields)].drop_duplicates())
    spread = expected.groupby(POINT)["value"].std()
    pairs = own.merge(expected, on=[*POINT, "trial"], suffixes=("", "_expected"))
    pairs["difference"] = pairs["value"] - pairs["value_expected"]
    precision = float(np.finfo(reference.settings["dtype"]).eps) ** 0.5
    found = {key: _row(series, spread, precision) for key, series in pairs.groupby(SERIES)}
    absent = (0, 0, 0.0, math.nan, Outcome.MISSING)
    wanted = expected[SERIES].drop_duplicates().itertuples(index=False, name=None)
    rows = [(experiment, *key, *found.get(key, absent)) for key in wanted]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(pairs: pd.DataFrame, spread: "pd.Series[float]", precision: float) -> tuple[Any, ...]:
    """Return what `COLUMNS` has of a quantity beyond its names; `pairs` has its values in run and reference."""
    trials, largest = pairs["trial"].nunique(), float(pairs["value_expected"].abs().max())
    rounding = precision * largest
    means = pairs.groupby(POINT)["difference"].mean().abs()
    tolerance = STANDARD_ERRORS * spread.reindex(means.index) / trials**0.5
    within = float((means <= tolerance.fillna(0).clip(lower=rounding)).mean())
    furthest = float(pairs["difference"].abs().max())
    return trials, len(means), within, furthest / largest if largest else furthest, _outcome(pairs, within, rounding)


def _outcome(pairs: pd.DataFrame, within: float, rounding: float) -> Outcome:
    if pairs["difference"].abs().max() <= rounding:
        return Outcome.SAME
    if pairs["trial"].nunique() == 1:
        return Outcome.ONE_TRIAL
    return Outcome.WITHIN if within >= ENOUGH else Outcome.DIFFERS


def as_page(compared: pd.DataFrame, uncompared: Iterable[Uncompared], scale: str, unverified: Iterable[str]) -> str:
    """Return the comparison in Markdown: the counts, then each experiment, what differs, what has no reference.

    `unverified` says what of the data is not verified.
    """
    lines = [f"# The run at {scale} scale beside the reference", "", f"{summary(compared)}.", "", *stamp(unverified)]
    header = ("experiment", "reference", "trials", *Outcome, "furthest from the reference, relative to the largest")
    lines += markdown(header, (_experiment_line(rows) for _, rows in compared.groupby("experiment", sort=False)))
    differing = compared[compared["outcome"] == Outcome.DIFFERS]
    if not differing.empty:
        lines += ["", "## What differs", ""]
        header = ("experiment", "cell", "layer", "quantity", "points within the tolerance", "furthest")
        lines += markdown(header, (_quantity_line(row) for _, row in differing.iterrows()))
    if named := list(uncompared):
        lines += ["", "## What has no reference with its settings", ""]
        lines += markdown(("experiment", "nearest", "differs in"), (_uncompared_line(each) for each in named))
    return "\n".join(lines) + "\n"


def summary(compared: pd.DataFrame) -> str:
    """Return how many quantities compare in which way."""
    if compared.empty:
        return "Nothing was compared: there is no reference with these settings"
    counts = compared["outcome"].value_counts()
    words = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if outcome in counts)
    return f"Quantities beside the reference: {words}"


def _experiment_line(rows: pd.DataFrame) -> tuple[str, ...]:
    first = rows.iloc[0]
    counts = (f"{int((rows['outcome'] == outcome).sum()):,}" for outcome in Outcome)
    return first["experiment"], first["scale"], str(rows["trials"].max()), *counts, f"{rows['difference'].max():.1g}"


def _quantity_line(row: pd.Series) -> tuple[str, ...]:
    cell = Cell(*(row[name] for name in Cell._fields)).name
    shares = f"{row['within']:.0%} of {row['points']}", f"{row['difference']:.1g}"
    return row["experiment"], cell, str(row["layer"]), row["quantity"], *shares


def _uncompared_line(each: Uncompared) -> tuple[str, ...]:
    variant = "" if each.variant == BASE else f" {each.variant}"
    return f"{each.experiment}{variant}", each.scale or "none", ", ".join(each.differing)
