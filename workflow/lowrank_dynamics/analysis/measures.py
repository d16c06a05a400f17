"""What a claim measures: from an experiment's metrics to one value per cell and trial.

Every measure takes the metrics and its options and returns a frame with the columns that tell the
cells apart, `trial` and `value`. To add one, write a function and add it to `MEASURES`.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import pandas as pd

from lowrank_dynamics.analysis import fits, scaling
from lowrank_dynamics.analysis.best_of_grid import gap_at_best
from lowrank_dynamics.analysis.fits import TRIAL
from lowrank_dynamics.analysis.matched_loss import at_levels, time_to_fall
from lowrank_dynamics.analysis.trial_values import (
    ROW,
    Key,
    Quantity,
    at_end,
    bounded_ratio,
    first_reached,
    last_step,
    reduced,
    value_at_end,
    with_missing_reference,
    with_reference,
    with_start,
)
from lowrank_dynamics.config.base import NameIn
from lowrank_dynamics.config.registries import GROUPS, SIDES
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.metrics import Metrics

Comparing = Literal["difference", "relative_difference", "ratio"]
Group = Annotated[str, NameIn(GROUPS)]


def compared_at_end(
    metrics: Metrics, quantity: Quantity, to: dict[Key, str], by: Comparing, index: int = 0
) -> pd.DataFrame:
    """Return the quantity where each trial ends, compared with the same trial of the cell with the
    values `to`.
    """
    ends = value_at_end(metrics, quantity, index)
    return _compared(with_reference(ends, ends, to), by)


def value_at_loss(metrics: Metrics, quantity: Quantity, index: int = 0) -> pd.DataFrame:
    """Return the quantity at matched training loss, by `level`."""
    rows = metrics.frame(quantity, index=index)
    return at_levels(metrics, rows, ROW)


def compared_at_loss(
    metrics: Metrics, quantity: Quantity, to: dict[Key, str], by: Comparing, index: int = 0
) -> pd.DataFrame:
    """Return the quantity at matched training loss, by `level`, compared with the same trial of the
    cell with the values `to`.
    """
    rows = value_at_loss(metrics, quantity, index)
    return _compared(with_reference(rows, rows, to, by_column="level"), by)


def largest_gap(
    metrics: Metrics, quantity: Quantity, to: dict[Key, str], by: Comparing, after: float
) -> pd.DataFrame:
    """Return the largest gap, regardless of sign, between the curve of a quantity and that of the
    cell `to`, once this part of the steps is over.
    """
    rows = metrics.frame(quantity)
    late = rows[rows["step"] > after * last_step(rows)]
    gaps = _compared(with_reference(late, late, to, by_column="step"), by)
    return reduced(gaps, ROW, lambda gap: gap.abs().max())


def _compared(rows: pd.DataFrame, by: Comparing) -> pd.DataFrame:
    """Return rows whose value is compared with their `reference`."""
    value, reference = rows["value"], rows["reference"]
    if by == "difference":
        return rows.assign(value=value - reference)
    if by == "ratio":
        return rows.assign(value=value / reference)
    return rows.assign(value=value / reference - 1)


def share_of_gain(
    metrics: Metrics, quantity: Quantity, start: dict[Key, str], end: dict[Key, str]
) -> pd.DataFrame:
    """Return a cell's final gain over the cell `start`, as a share of that of the cell `end`.

    NaN where `end` does not end above `start`, with the reason in the column `undefined`.
    """
    above_start = compared_at_end(metrics, quantity, start, "difference")
    above_end = compared_at_end(metrics, quantity, end, "difference")
    joined = above_start.merge(above_end[[*ROW, "value"]], on=ROW, suffixes=("", "_above_end"))
    possible = joined["value"] - joined["value_above_end"]
    shares = joined["value"] / possible
    reason = pd.Series("there is no gain", index=joined.index, dtype=object)
    return joined.assign(
        value=shares.where(possible > 0), undefined=reason.where(possible <= 0, None)
    )


def share_at_chance(metrics: Metrics, fallen_to: float) -> pd.DataFrame:
    """Return the share of training in which the test loss stays above this fraction of its start;
    at most 1.
    """
    losses = with_start(metrics.frame("test_loss")).sort_values("step", kind="stable")
    losses["above"] = losses["value"] > fallen_to * losses["start"]
    until_now = losses.groupby(TRIAL)["above"].cummin()
    shares = losses.assign(value=losses["step"] / last_step(losses))[until_now]
    return shares.groupby(TRIAL)["value"].max().reset_index()


def time_to_reach(
    metrics: Metrics, quantity: Quantity, fraction: float, of: dict[Key, str]
) -> pd.DataFrame:
    """Return when a trial first reaches this fraction of the final value of the cell `of`, relative
    to when `of` does; both as `bounded_ratio` has it.
    """
    rows = with_reference(metrics.frame(quantity), value_at_end(metrics, quantity), of)
    reached = rows["value"] >= fraction * rows["reference"]
    times = first_reached(rows, reached, ROW)
    joined = with_reference(times, times, of)
    later = joined["reference"].where(joined["reference"] > 0)
    return bounded_ratio(joined.assign(reference=later))


def end_against_start(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the quantity where each trial ends, relative to that at step 0."""
    rows = with_start(metrics.frame(quantity, index=0))
    ends = at_end(rows)
    return ends.assign(value=ends["value"] / ends["start"])


def moved_singular_values(metrics: Metrics, layer: int) -> pd.DataFrame:
    """Return the share of the squared change of the singular values in the 2K that change most."""
    rows = with_start(metrics.frame("singular_value", layer=layer))
    ends = at_end(rows)
    changes = ends.assign(value=ends["value"] - ends["start"])
    count = 2 * metrics.settings.data.classes

    def share_of_largest(change: "pd.Series[float]") -> float:
        squares = change**2
        return squares.nlargest(count).sum() / squares.sum()

    return reduced(changes, [*TRIAL, "layer"], share_of_largest)


def movement_ratio(metrics: Metrics, group: Group, others: list[str]) -> pd.DataFrame:
    """Return the mean movement of a group of singular vectors over training, relative to the least
    among `others`.

    The movement is the normalized ||sin Theta||_2 of the `left` or `right` subspace, the column
    `side`.
    """
    moved = _movement(metrics, group)
    means = reduced(moved, [*TRIAL, "layer", "side"], lambda movement: movement.mean())
    return _relative_to_least(means, ["layer", "side", "trial"], others)


def movement_ratio_at_loss(metrics: Metrics, group: Group, others: list[str]) -> pd.DataFrame:
    """Return the movement of a group of singular vectors at matched training loss, by `level`,
    relative to the least among `others`.
    """
    moved = _movement(metrics, group)
    matched = at_levels(metrics, moved, [*TRIAL, "layer", "side"])
    return _relative_to_least(matched, ["layer", "side", "level", "trial"], others)


def time_to_move(
    metrics: Metrics, group: Group, distance: float, others: list[str]
) -> pd.DataFrame:
    """Return the step at which a group of singular vectors has moved this distance, relative to the
    earliest among `others`; both as `bounded_ratio` has it.
    """
    moved = _movement(metrics, group)
    times = first_reached(moved, moved["value"] >= distance, [*TRIAL, "layer", "side"])
    return bounded_ratio(_with_least(times, ["layer", "side", "trial"], others))


def _movement(metrics: Metrics, group: Group) -> pd.DataFrame:
    """Return how far a group of singular vectors has moved on either side, the column `side`."""
    sides = []
    for side in SIDES:
        distances = metrics.frame(f"sine_{side}_{group}")
        sides.append(distances.assign(side=side))
    return pd.concat(sides)


def displacement_ratio(metrics: Metrics, others: list[str]) -> pd.DataFrame:
    """Return the root mean square change of the middle singular values at the end, relative to the
    least among `others`.
    """
    return _relative_to_least(at_end(_displacement(metrics)), ["layer", "trial"], others)


def displacement_ratio_at_loss(metrics: Metrics, others: list[str]) -> pd.DataFrame:
    """Return the same at matched training loss, by `level`."""
    matched = at_levels(metrics, _displacement(metrics), [*TRIAL, "layer"])
    return _relative_to_least(matched, ["layer", "level", "trial"], others)


def _displacement(metrics: Metrics) -> pd.DataFrame:
    """Return the root mean square change of the middle singular values of each layer at each
    step.
    """
    values = metrics.frame("singular_value")
    classes = metrics.settings.data.classes
    count = values.groupby("layer")["index"].transform("max")
    middle = with_start(values[values["index"].between(classes + 1, count - classes)])
    squares = middle.assign(value=(middle["value"] - middle["start"]) ** 2)
    means = squares.groupby([*TRIAL, "layer", "step"])["value"].mean()
    return (means**0.5).reset_index()


def slope_at_the_start(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the log-log slope against eps of a quantity measured at each of
    `observe.start_eps`.
    """
    return fits.fitted(scaling.against_eps(metrics, quantity), TRIAL, fits.log_log_slope, "eps")


def smallest_at_the_start(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the smallest value of such a quantity at any of these eps."""
    return reduced(metrics.frame(quantity), TRIAL, lambda value: value.min())


def growth(metrics: Metrics, quantity: Quantity) -> pd.DataFrame:
    """Return the largest value of a quantity at any step, relative to that at step 0."""
    return reduced(metrics.frame(quantity), TRIAL, lambda value: value.max() / value.iloc[0])


def gradient_decay_fit(metrics: Metrics) -> pd.DataFrame:
    """Return how well an exponential decay fits ||G_1(t)||_F, as a squared correlation."""
    norms = fits.until_first_end(metrics.frame("gradient_norm"), metrics, TRIAL)
    return fits.fitted(norms, TRIAL, fits.decay_fit)


def decay_rate_agreement(metrics: Metrics) -> pd.DataFrame:
    """Return the fitted decay rates of each sigma_i(G_1) and of ||G_1||_F, as the smaller over the
    larger.

    Negative if one of them grows.
    """
    norms = fits.until_first_end(metrics.frame("gradient_norm"), metrics, TRIAL)
    values = fits.until_first_end(metrics.frame("gradient_singular_value"), metrics, TRIAL)
    rate_of_norm = fits.fitted(norms, TRIAL, fits.decay_rate)
    rates = fits.fitted(values, [*TRIAL, "index"], fits.decay_rate)
    joined = rates.merge(rate_of_norm, on=TRIAL, suffixes=("", "_norm"))
    both = joined[["value", "value_norm"]]
    return joined.assign(value=both.min(axis=1) / both.abs().max(axis=1))


def gradient_gap(metrics: Metrics) -> pd.DataFrame:
    """Return G_3 of assumption 3.4: the smallest of 1 - sigma_{K+1}(G_1(t)) / sigma_K(W_2' Y X')
    over t.
    """
    classes = metrics.settings.data.classes
    signal = metrics.frame("signal_singular_value", index=classes).set_index(TRIAL)["value"]
    tail = metrics.frame("gradient_singular_value", index=classes + 1)
    largest = tail.groupby(TRIAL)["value"].max()
    return (1 - largest / signal).reset_index()


def update_ratio(metrics: Metrics) -> pd.DataFrame:
    """Return the largest ratio, over steps and blocks 2 to 4, of a block's update to eta rho(t)."""
    place = [*TRIAL, "step"]
    bound = metrics.frame("update_bound").set_index(place)["value"]
    updates = metrics.frame("block_update", index=[2, 3, 4])
    largest = updates.groupby(place)["value"].max()
    ratios = (largest / bound).groupby(TRIAL)
    return ratios.agg(lambda ratio: ratio.max(skipna=False)).reset_index()


def slope_of_the_first_bound(metrics: Metrics) -> pd.DataFrame:
    """Return the log-log slope of rho(0) against eps, over the variants."""
    first = scaling.with_setting(metrics, metrics.frame("update_bound", step=0), "network.eps")
    columns = ["activation", "parameterization", "trial"]
    return fits.fitted(first, columns, fits.log_log_slope, "network.eps")


def bound_fit(metrics: Metrics) -> pd.DataFrame:
    """Return how well C q^t (1 - q^t) fits rho(t), from t = 1 until each trial's own end, as the
    explained part of the variance of its logarithm.

    Negative where even the best such curve is further from it than a constant is.
    """
    bound = fits.until_first_end(metrics.frame("update_bound"), metrics, TRIAL)
    return fits.fitted(bound[bound["step"] >= 1], TRIAL, fits.rise_and_decay_fit)


def bound_decay(metrics: Metrics) -> pd.DataFrame:
    """Return rho where a trial ends, relative to its maximum."""
    return reduced(metrics.frame("update_bound"), TRIAL, lambda bound: bound.iloc[-1] / bound.max())


MEASURES: dict[str, Callable[..., pd.DataFrame]] = {
    measure.__name__: measure
    for measure in (
        value_at_end,
        value_at_loss,
        compared_at_end,
        compared_at_loss,
        gap_at_best,
        largest_gap,
        share_of_gain,
        share_at_chance,
        time_to_reach,
        time_to_fall,
        end_against_start,
        growth,
        moved_singular_values,
        movement_ratio,
        movement_ratio_at_loss,
        time_to_move,
        displacement_ratio,
        displacement_ratio_at_loss,
        slope_at_the_start,
        smallest_at_the_start,
        gradient_decay_fit,
        decay_rate_agreement,
        gradient_gap,
        update_ratio,
        slope_of_the_first_bound,
        bound_fit,
        bound_decay,
        scaling.tail_slope,
        scaling.tail_spread,
        scaling.slope_over_variants,
        scaling.relative_to_setting,
        scaling.value_at_start,
        scaling.largest,
        scaling.largest_ratio,
        scaling.admissible_step,
        scaling.operations_to_reach,
    )
}


def _relative_to_least(
    rows: pd.DataFrame, shared: list[str], activations: Sequence[str]
) -> pd.DataFrame:
    """Return each value relative to the least of these activations in the same trial, as
    `_with_least` has it.
    """
    joined = _with_least(rows, shared, activations)
    return joined.assign(value=joined["value"] / joined["reference"])


def _with_least(rows: pd.DataFrame, shared: list[str], activations: Sequence[str]) -> pd.DataFrame:
    """Return the rows with a column `reference`: the least of these activations in the same trial.

    NaN where that of one of them is, with the reason in the column `undefined` if there is one.
    Raises UserError if one of the activations was not run.
    """
    missing = sorted(set(activations) - set(rows["activation"]))
    if missing:
        raise UserError(
            f"nothing was measured of {missing[0]}, with which the others are to be compared"
        )
    compared = rows[rows["activation"].isin(activations)]
    least = compared.groupby(shared)["value"].min(min_count=len(activations))
    joined = rows.join(least.rename("reference"), on=shared, how="inner")
    return with_missing_reference(joined, joined["reference"])
