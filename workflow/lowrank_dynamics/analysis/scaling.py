"""What our findings measure: how values depend on the variants' settings, and values against their
bounds.
"""

from collections.abc import Collection
from operator import attrgetter
from typing import Literal

import numpy as np
import pandas as pd

from lowrank_dynamics.analysis import fits
from lowrank_dynamics.analysis.trial_values import (
    ROW,
    Key,
    Quantity,
    bounded_ratio,
    first_reached,
    of_cell,
    reduced,
    value_at_end,
    with_reference,
)
from lowrank_dynamics.config.networks import start_operations, step_operations
from lowrank_dynamics.config.registries import activation
from lowrank_dynamics.storage.metrics import Metrics

Scale = Literal["linear", "log_rest"]
ETA = "training.learning_rate"
OVER_VARIANTS = ["activation", "parameterization", "trial", "layer"]


def against_eps(metrics: Metrics, quantity: str) -> pd.DataFrame:
    """Return the rows of a quantity that is measured at each of `observe.start_eps`, with the
    column `eps`.
    """
    eps = dict(enumerate(metrics.settings.observe.start_eps, start=1))
    measured = metrics.frame(quantity)
    return measured.assign(eps=measured["index"].map(eps))


def tails(metrics: Metrics) -> pd.DataFrame:
    """Return sigma_{K+1} / sigma_K of G_1(0) for each phi_beta, with beta times eps as
    `product`.
    """
    rows = against_eps(metrics, "gradient_tail")
    betas = {name: activation(name).options.get("beta", np.nan) for name in metrics.activations}
    product = rows["activation"].map(betas) * rows["eps"]
    return rows.assign(product=product).dropna(subset="product")


def tail_slope(metrics: Metrics, up_to: float) -> pd.DataFrame:
    """Return the log-log slope of the tail of G_1(0) against beta eps, where that is at most
    `up_to`, minus 1.
    """
    rows = _tails_up_to(metrics, up_to)
    slopes = fits.fitted(rows, ["variant", "trial"], fits.log_log_slope, "product")
    return slopes.assign(value=slopes["value"] - 1)


def tail_spread(metrics: Metrics, up_to: float) -> pd.DataFrame:
    """Return the largest ratio of the tail of G_1(0) to beta eps, relative to the smallest, in the
    same range.
    """
    rows = _tails_up_to(metrics, up_to)
    constant = rows.assign(value=rows["value"] / rows["product"])
    return reduced(constant, ["variant", "trial"], lambda value: value.max() / value.min())


def _tails_up_to(metrics: Metrics, product: float) -> pd.DataFrame:
    rows = tails(metrics)
    return rows[rows["product"] <= product * (1 + 1e-9)]  # 0.1 times 10 is 1 up to rounding


def of_variants(
    metrics: Metrics, setting: str, names: Collection[str] | None = None
) -> dict[str, float]:
    """Return a setting of the variants with these names, or of all, by name, in their order.

    The setting is named as in the files, such as `data.classes`.
    """
    values = {}
    for name, variant in metrics.variants.items():
        if not names or name in names:
            values[name] = float(attrgetter(setting)(variant.settings))
    return values


def with_setting(
    metrics: Metrics, rows: pd.DataFrame, setting: str, variants: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the rows with a setting of their variant as a column of its name, NaN for other
    variants than those named.
    """
    values = of_variants(metrics, setting, variants)
    return rows.assign(**{setting: rows["variant"].map(values)})


def against_setting(
    metrics: Metrics,
    quantity: Quantity,
    setting: str,
    index: int = 0,
    variants: list[str] | None = None,
) -> pd.DataFrame:
    """Return the quantity where trials end, with a `setting` of each of the `variants`, or of all,
    as a column.
    """
    rows = value_at_end(metrics, quantity, index)
    return with_setting(metrics, rows, setting, variants).dropna(subset=setting)


def slope_over_variants(
    metrics: Metrics,
    quantity: Quantity,
    setting: str,
    *,
    index: int = 0,
    variants: list[str] | None = None,
    scale: Scale = "linear",
    expected: float = 0.0,
) -> pd.DataFrame:
    """Return the slope of the quantity where trials end against a setting, minus the `expected`
    one.

    With the scale `log_rest` it is the slope of log(1 - quantity) against the logarithm of the
    setting.
    """
    rows = against_setting(metrics, quantity, setting, index, variants)
    if scale == "log_rest":
        logarithms = {setting: np.log(rows[setting]), "value": np.log1p(-rows["value"])}
        rows = rows.assign(**logarithms)
    slopes = fits.fitted(rows, OVER_VARIANTS, fits.slope, setting)
    return slopes.assign(value=slopes["value"] - expected)


def relative_to_setting(metrics: Metrics, quantity: Quantity, setting: str) -> pd.DataFrame:
    """Return the quantity where each trial ends, divided by a setting."""
    rows = against_setting(metrics, quantity, setting)
    return rows.assign(value=rows["value"] / rows[setting])


def value_at_start(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the quantity at step 0."""
    return metrics.frame(quantity, step=0)


def largest(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the largest value of the quantity at any step."""
    return reduced(metrics.frame(quantity), ROW, lambda value: value.max())


def ratios(metrics: Metrics, quantity: Quantity, bound: Quantity) -> pd.DataFrame:
    """Return the rows of a quantity relative to those of its `bound`, at the same step."""
    place = [*ROW, "step"]
    bounds = metrics.frame(bound)[[*place, "value"]]
    rows = metrics.frame(quantity).merge(bounds, on=place, suffixes=("", "_bound"))
    return rows.assign(value=rows["value"] / rows["value_bound"])


def largest_ratio(metrics: Metrics, quantity: Quantity, bound: Quantity) -> pd.DataFrame:
    """Return the largest ratio of a quantity to its `bound` at any step."""
    return reduced(ratios(metrics, quantity, bound), ROW, lambda value: value.max())


def admissible_step(metrics: Metrics) -> pd.DataFrame:
    """Return the largest eta gamma at any step, where gamma bounds the curvature there; up to 1 is
    admissible.
    """
    rows = with_setting(metrics, largest(metrics, "curvature_bound"), ETA)
    return rows.assign(value=rows["value"] * rows[ETA])


def operations_to_reach(
    metrics: Metrics, quantity: Quantity, fraction: float, of: dict[Key, str]
) -> pd.DataFrame:
    """Return the operations until this fraction of the final value of the cell `of` is
    `first_reached`, relative to those `of` needs; both as `bounded_ratio` has it.
    """
    rows = with_reference(metrics.frame(quantity), value_at_end(metrics, quantity), of)
    first = first_reached(rows, rows["value"] >= fraction * rows["reference"], ROW)
    needed = with_operations(metrics, first.assign(step=first["value"]))
    until_end = with_operations(metrics, first.assign(step=first["end"]))
    spent = needed.assign(value=needed["operations"], end=until_end["operations"])
    return bounded_ratio(with_reference(spent, spent, of))


def with_operations(metrics: Metrics, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the operations of all matrix products up to their step, start
    included.
    """
    parts = []
    for variant, run in metrics.variants.items():
        for parameterization in run.values("parameterization"):
            cell = {"variant": variant, "parameterization": parameterization}
            part = of_cell(rows, cell)
            at_start = start_operations(run.settings, parameterization)
            a_step = step_operations(run.settings, parameterization)
            parts.append(part.assign(operations=at_start + a_step * part["step"].astype(float)))
    return pd.concat(parts)
