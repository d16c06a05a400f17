"""What a claim measures: from the metrics of an experiment to one value for each cell and trial.

Every measure takes the metrics and its options and returns a frame with the columns that tell the cells apart, `trial`
and `value`. To add one, write a function and add it to `MEASURES`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pandas as pd

from lowrank_dynamics.analysis import fits
from lowrank_dynamics.analysis.fits import CELL
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics

Key = Literal["activation", "parameterization", "variant"]
Comparing = Literal["difference", "relative_difference", "ratio"]
ROW = [*CELL, "layer", "index"]
"""The columns that tell the values of one quantity at one step of one trial apart."""


def value_at_end(metrics: Metrics, quantity: str, index: int = 0) -> pd.DataFrame:
    """Return the quantity where each trial ends."""
    return _at_end(metrics.frame(quantity, index=index))


def compared_at_end(metrics: Metrics, quantity: str, to: dict[Key, str], by: Comparing, index: int = 0) -> pd.DataFrame:
    """Return the quantity where each trial ends, compared with the same trial of the cell that has the values `to`."""
    ends = value_at_end(metrics, quantity, index)
    reference = _of_cell(ends, to)
    shared = [column for column in (*ROW, "trial") if column not in to]
    joined = ends.merge(reference[[*shared, "value"]], on=shared, suffixes=("", "_reference"))
    compared = {
        "difference": joined["value"] - joined["value_reference"],
        "relative_difference": joined["value"] / joined["value_reference"] - 1,
        "ratio": joined["value"] / joined["value_reference"],
    }
    return joined.assign(value=compared[by])


def share_of_gain(metrics: Metrics, quantity: str, start: dict[Key, str], end: dict[Key, str]) -> pd.DataFrame:
    """Return how much more a cell has at the end than the cell `start`, as a share of what the cell `end` has more.

    Not a number where `end` has no more than `start`.
    """
    gains = compared_at_end(metrics, quantity, start, "difference")
    whole = compared_at_end(metrics, quantity, end, "difference")
    joined = gains.merge(whole[[*ROW, "trial", "value"]], on=[*ROW, "trial"], suffixes=("", "_less"))
    possible = joined["value"] - joined["value_less"]
    return joined.assign(value=(joined["value"] / possible).where(possible > 0))


def share_at_chance(metrics: Metrics, fallen_to: float) -> pd.DataFrame:
    """Return until which share of the training the test loss was above this fraction of its start; 1 for to the end."""
    losses = metrics.frame("test_loss").sort_values("step", kind="stable")
    trials = losses.groupby([*CELL, "trial"], observed=True)
    above = losses["value"] > fallen_to * trials["value"].transform("first")
    until_now = above.groupby([losses[column] for column in (*CELL, "trial")], observed=True).cummin()
    last = losses.groupby(CELL, observed=True)["step"].transform("max")
    shares = losses.assign(value=losses["step"] / last)[until_now]
    return _by(shares, [*CELL, "trial"], lambda share: share.max())


def time_to_reach(metrics: Metrics, quantity: str, fraction: float, of: dict[Key, str]) -> pd.DataFrame:
    """Return when a trial first has this fraction of what the cell `of` has at the end, relative to when `of` has.

    For a trial that never has, the last step counts, which is less than it would need.
    """
    shared = [column for column in (*ROW, "trial") if column not in of]
    ends = value_at_end(metrics, quantity)
    wanted = _of_cell(ends, of).set_index(shared)["value"].rename("wanted")
    rows = metrics.frame(quantity).join(fraction * wanted, on=shared)
    last = rows.groupby(CELL, observed=True)["step"].transform("max")
    steps = rows.assign(value=rows["step"].where(rows["value"] >= rows["wanted"], last))
    times = steps.groupby([*ROW, "trial"], observed=True)["value"].min().reset_index()
    joined = times.merge(_of_cell(times, of)[[*shared, "value"]], on=shared, suffixes=("", "_reference"))
    return joined.assign(value=joined["value"] / joined["value_reference"].where(joined["value_reference"] > 0))


def end_against_start(metrics: Metrics, quantity: str) -> pd.DataFrame:
    """Return the quantity where each trial ends relative to its value at step 0."""
    start = metrics.frame(quantity, step=0)
    joined = value_at_end(metrics, quantity).merge(start[[*ROW, "trial", "value"]], on=[*ROW, "trial"])
    return joined.assign(value=joined["value_x"] / joined["value_y"])


def moved_singular_values(metrics: Metrics, layer: int) -> pd.DataFrame:
    """Return the share of the squared change of the singular values in the 2K that change most."""
    changes = _change_of_singular_values(metrics, layer=layer)
    count = 2 * metrics.settings.data.classes
    return _by(changes, [*CELL, "layer", "trial"], lambda change: (change**2).nlargest(count).sum() / (change**2).sum())


def movement_ratio(metrics: Metrics, group: str, to: list[str]) -> pd.DataFrame:
    """Return the movement of a group of singular vectors, mean over training, relative to the least among `to`.

    The movement is the normalized ||sin Theta||_2 of the `left` or `right` subspace, the column `side`.
    """
    moved = pd.concat([metrics.frame(f"sine_{side}_{group}").assign(side=side) for side in ("left", "right")])
    means = _by(moved, [*CELL, "layer", "side", "trial"], lambda movement: movement.mean())
    return _relative_to_least(means, ["layer", "side", "trial"], to)


def displacement_ratio(metrics: Metrics, to: list[str]) -> pd.DataFrame:
    """Return the root mean square change of the middle singular values at the end, relative to the least among `to`."""
    changes = _change_of_singular_values(metrics)
    classes, count = metrics.settings.data.classes, changes.groupby("layer")["index"].transform("max")
    middle = changes[changes["index"].between(classes + 1, count - classes)]
    displacement = _by(middle, [*CELL, "layer", "trial"], lambda change: (change**2).mean() ** 0.5)
    return _relative_to_least(displacement, ["layer", "trial"], to)


def slope_at_the_start(metrics: Metrics, quantity: str) -> pd.DataFrame:
    """Return the log-log slope against eps of a quantity that was measured for each of `observe.start_eps`."""
    eps = dict(enumerate(metrics.settings.observe.start_eps, start=1))
    measured = metrics.frame(quantity)
    return _fitted(measured.assign(eps=measured["index"].map(eps)), CELL, fits.log_log_slope, "eps")


def residual_growth(metrics: Metrics) -> pd.DataFrame:
    """Return the largest norm of the residual relative to that at the start, from the squared error."""
    return _by(metrics.frame("train_loss"), [*CELL, "trial"], lambda loss: (loss.max() / loss.iloc[0]) ** 0.5)


def gradient_decay_fit(metrics: Metrics) -> pd.DataFrame:
    """Return how well an exponential decay fits ||G_1(t)||_F, as a squared correlation."""
    return _fitted(fits.until_the_end(metrics.frame("gradient_norm"), metrics), CELL, fits.decay_fit)


def decay_rate_agreement(metrics: Metrics) -> pd.DataFrame:
    """Return the fitted decay rate of each sigma_i(G_1), or of ||G_1||_F, the smaller relative to the larger.

    Negative if one of them grows.
    """
    values = fits.until_the_end(metrics.frame("gradient_singular_value"), metrics)
    norms = fits.until_the_end(metrics.frame("gradient_norm"), metrics)
    rates = _fitted(values, [*CELL, "index"], fits.decay_rate)
    joined = rates.merge(_fitted(norms, CELL, fits.decay_rate), on=[*CELL, "trial"], suffixes=("", "_norm"))
    both = joined[["value", "value_norm"]]
    return joined.assign(value=both.min(axis=1) / both.abs().max(axis=1))


def gradient_gap(metrics: Metrics) -> pd.DataFrame:
    """Return the constant G_3 of assumption 3.4."""
    classes = metrics.settings.data.classes
    signal = metrics.frame("signal_singular_value", index=classes)
    tail = metrics.frame("gradient_singular_value", index=classes + 1)
    return _fitted_to_both(tail, signal, fits.gradient_gap)


def update_ratio(metrics: Metrics) -> pd.DataFrame:
    """Return the largest ratio of an update of blocks 2 to 4 to eta rho(t)."""
    return _fitted_to_both(metrics.frame("update_bound"), metrics.frame("block_update"), fits.update_ratio)


def slope_of_the_first_bound(metrics: Metrics) -> pd.DataFrame:
    """Return the log-log slope of rho(0) against eps, over the variants."""
    eps = {name: variant.settings.network.eps for name, variant in metrics.variants.items()}
    first = metrics.frame("update_bound", step=0)
    first["eps"] = first["variant"].map(eps).astype(float)
    return _fitted(first, ["activation", "parameterization"], fits.log_log_slope, "eps")


def bound_decay(metrics: Metrics) -> pd.DataFrame:
    """Return rho where a trial ends relative to its largest value."""
    return _by(metrics.frame("update_bound"), [*CELL, "trial"], lambda bound: bound.iloc[-1] / bound.max())


MEASURES: dict[str, Callable[..., pd.DataFrame]] = {
    measure.__name__: measure
    for measure in (
        value_at_end,
        compared_at_end,
        share_of_gain,
        share_at_chance,
        time_to_reach,
        end_against_start,
        moved_singular_values,
        movement_ratio,
        displacement_ratio,
        slope_at_the_start,
        residual_growth,
        gradient_decay_fit,
        decay_rate_agreement,
        gradient_gap,
        update_ratio,
        slope_of_the_first_bound,
        bound_decay,
    )
}


def _at_end(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the last step of each cell, to which every trial's last values are held."""
    return rows[rows["step"] == rows.groupby(CELL, observed=True)["step"].transform("max")]


def _of_cell(rows: pd.DataFrame, values: dict[Key, str]) -> pd.DataFrame:
    """Return the rows that have these values in their columns."""
    return rows[(rows[list(values)] == list(values.values())).all(axis=1)]


def _by(rows: pd.DataFrame, columns: list[str], reduce: Callable[[pd.Series], float]) -> pd.DataFrame:
    """Return `reduce` of the values in the order of their steps, for each combination of `columns`."""
    ordered = rows.sort_values("step", kind="stable")
    return ordered.groupby(columns, observed=True)["value"].agg(reduce).reset_index()


def _fitted(rows: pd.DataFrame, columns: list[str], fit: Callable[..., pd.Series], *options: Any) -> pd.DataFrame:
    """Return one of the fits of `fits`, which gives a value a trial, for each combination of `columns`."""
    found = {key: fit(group, *options) for key, group in rows.groupby(columns, observed=True)}
    return pd.concat(found, names=columns).rename("value").reset_index()


def _fitted_to_both(
    rows: pd.DataFrame, others: pd.DataFrame, fit: Callable[[pd.DataFrame, pd.DataFrame], pd.Series]
) -> pd.DataFrame:
    """Return one of the functions of `fits` that take two quantities of one cell, for each cell."""
    second = dict(iter(others.groupby(CELL, observed=True)))
    found = {key: fit(group, second[key]) for key, group in rows.groupby(CELL, observed=True) if key in second}
    return pd.concat(found, names=CELL).rename("value").reset_index()


def _change_of_singular_values(metrics: Metrics, **equal: Any) -> pd.DataFrame:
    """Return sigma_i(W_l) at the end minus sigma_i(W_l) at the start."""
    values = metrics.frame("singular_value", **equal)
    keys = [*ROW, "trial"]
    joined = _at_end(values).merge(values.loc[values["step"] == 0, [*keys, "value"]], on=keys)
    return joined.assign(value=joined["value_x"] - joined["value_y"])


def _relative_to_least(rows: pd.DataFrame, shared: list[str], activations: Sequence[str]) -> pd.DataFrame:
    """Return each value relative to the least of the given activations', in the same trial.

    Raises UserError if one of the activations was not run.
    """
    if missing := sorted(set(activations) - set(rows["activation"])):
        raise UserError(f"nothing was measured of {missing[0]}, with which the others are to be compared")
    least = rows[rows["activation"].isin(activations)].groupby(shared)["value"].min().rename("least")
    joined = rows.join(least, on=shared, how="inner")
    return joined.assign(value=joined["value"] / joined["least"])
