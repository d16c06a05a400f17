"""The curves of the report's explorer: every quantity of the metrics over steps, its mean and
standard deviation over trials, thinned and rounded for a page.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.registries import PARAMETERIZATIONS, activation, plain
from lowrank_dynamics.storage.metrics import Metrics

CURVE = [*Cell._fields, "layer", "quantity", "index"]
"""The columns whose values a curve has; those of the metrics besides trial and step."""
LEFT_OUT = ("last_step", "block_magnitude")
"""One number of each trial, and a thousand entries of a picture."""
POINTS = 60
"""The most steps of a curve on the page."""
DIGITS = 4
"""The significant digits of a number on the page."""


def curves(metrics: Metrics, points: int = POINTS) -> pd.DataFrame:
    """Return the curves of metrics: a row for each kept step, with the columns `CURVE`, `step`,
    `mean`, `deviation` and `trials`, sorted by curve and step.

    `deviation` is the sample standard deviation over the trials, NaN for one trial; `trials` is
    their number. A curve keeps at most `points` (at least 2) of its steps, spread evenly over them,
    among them the first and the last. The quantities `LEFT_OUT` are no curves.
    """
    rows = metrics.table.filter(~pc.field("quantity").isin(LEFT_OUT)).to_pandas()
    of_step = rows.groupby([*CURVE, "step"], observed=True)["value"]
    whole = of_step.agg(mean="mean", deviation="std", trials="count").reset_index()
    of_curve = whole.groupby(CURVE, observed=True)["step"]
    last = of_curve.transform("size") - 1
    whole["interval"] = of_curve.cumcount() * (points - 1) // last.clip(lower=1)
    kept = whole.drop_duplicates([*CURVE, "interval"])
    return kept.drop(columns="interval").reset_index(drop=True)


def explorer_data(experiments: Mapping[str, Metrics]) -> str:
    """Return the curves of experiments as JSON that can stand in an HTML script element.

    An experiment has its `steps`, each list once, and its `curves`: the values of `CURVE`, the
    place of its list in `steps`, the fewest trials of a step, means and deviations. A number that
    is not finite is null. `labels` has the words for names of activations and networks.
    """
    content: dict[str, Any] = {}
    labels: dict[str, dict[str, str]] = {"activation": {}, "parameterization": {}}
    for name, metrics in experiments.items():
        content[name] = _packed(curves(metrics))
        for activation_name in metrics.values("activation"):
            labels["activation"][activation_name] = plain(activation(activation_name).label)
        for network in metrics.values("parameterization"):
            labels["parameterization"][network] = plain(PARAMETERIZATIONS[network].label)
    data = {"columns": CURVE, "labels": labels, "experiments": content}
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c")


def _packed(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the curves in a frame of `curves`, ready for JSON."""
    places: dict[tuple[int, ...], int] = {}
    packed = []
    for key, curve in frame.groupby(CURVE, observed=True):
        steps = tuple(curve["step"].tolist())
        place = places.setdefault(steps, len(places))
        trials = int(curve["trials"].min())
        means, deviations = _rounded(curve["mean"]), _rounded(curve["deviation"])
        packed.append([*key, place, trials, means, deviations])
    return {"steps": list(places), "curves": packed}


def _rounded(numbers: Iterable[float]) -> list[float | None]:
    """Return numbers with `DIGITS` significant digits, None for those that are not finite."""
    rounded: list[float | None] = []
    for number in numbers:
        rounded.append(float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None)
    return rounded
