"""A run against the reference: what is the same, within the spread, different, not comparable."""

import numpy as np
import pytest

from conftest import NAME, planted, row
from losses import CELL, STEPS, TRIALS, Values, run_of, values
from lowrank_dynamics.analysis.comparison import Outcome, compare
from lowrank_dynamics.analysis.reference import frame
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.storage.metrics import Metrics
from tools.thinning import thinned

LOSSES = row(0, "train_loss", [1.0, 2.0])


def outcome(losses: Values, expected: Values) -> str:
    """Return how losses (steps, trials) compare with a reference of others."""
    (outcome,) = compare(run_of(losses), thinned(run_of(expected), numbers=0), NAME)["outcome"]
    return outcome


@pytest.mark.parametrize("trials", [TRIALS, 3, 1])
def test_a_run_has_the_same_numbers_however_many_of_its_trials_there_are(trials: int) -> None:
    assert outcome(values()[:, :trials], values()) == Outcome.SAME
    assert outcome(values(), values()[:, :trials]) == Outcome.SAME


def test_a_run_that_ends_before_the_slowest_trial_of_the_reference_has_the_same_numbers() -> None:
    assert outcome(values()[:40, :3], values()) == Outcome.SAME


@pytest.mark.slow
@pytest.mark.parametrize("trials", [3, 5, 10])
@pytest.mark.parametrize("once", [True, False], ids=["an offset a trial", "noise at every step"])
def test_other_draws_rarely_differ(trials: int, once: bool) -> None:
    outcomes = []
    for seed in range(0, 80, 2):
        losses = values(seed, trials, once=once)
        outcomes.append(outcome(losses, values(seed + 1, trials, once=once)))
    assert set(outcomes) <= {Outcome.WITHIN, Outcome.DIFFERS}
    assert outcomes.count(Outcome.DIFFERS) <= 4


def test_other_means_differ() -> None:
    assert outcome(values() * 1.5, values()) == Outcome.DIFFERS
    drift = np.linspace(0, 0.5, STEPS)[:, None]
    assert outcome(values() + drift, values()) == Outcome.DIFFERS


def test_one_trial_has_a_spread_only_among_others() -> None:
    one_trial = values()[:, :1]
    assert outcome(one_trial * 1.05, values()) == Outcome.WITHIN
    assert outcome(one_trial * 3, values()) == Outcome.DIFFERS
    assert outcome(one_trial * 1.05, one_trial) == Outcome.ONE_TRIAL


def test_rounding_makes_no_difference_and_is_all_that_may_where_all_trials_agree() -> None:
    assert outcome(values() * (1 + 1e-12), values()) == Outcome.SAME
    flat = np.ones((STEPS, TRIALS))
    assert outcome(flat * (1 + 1e-10), flat) == Outcome.SAME
    assert outcome(flat * (1 + 1e-6), flat) == Outcome.DIFFERS
    assert outcome(0 * flat, 0 * flat) == Outcome.SAME


def test_what_is_not_there_is_not_the_same() -> None:
    some, one_trial, infinite = values(), values(), values()
    some[10:-1], one_trial[:, 3:], infinite[-1] = np.nan, np.nan, np.inf
    assert outcome(some, values()) == Outcome.DIFFERS
    assert outcome(one_trial, values()) == Outcome.DIFFERS
    assert outcome(infinite, infinite) == Outcome.SAME
    assert outcome(3 * infinite, infinite) == Outcome.DIFFERS


def stopped(*ends: float) -> Metrics:
    """Return metrics of trials that ended at these steps, as they are at each of the ends."""
    rows = [row(int(end), "last_step", np.minimum(end, ends), layer=0) for end in sorted({*ends})]
    return planted({CELL: rows}, trials=len(ends))


def test_a_trial_that_ends_a_little_later_is_compared() -> None:
    (last_step,) = compare(stopped(101, 101, 101), stopped(100, 100, 100), NAME).itertuples()
    assert (last_step.points, last_step.outcome) == (1, Outcome.DIFFERS)
    assert last_step.difference == pytest.approx(0.01)


def test_where_a_trial_ended_counts_once() -> None:
    """Its last values are held to the end of the longest trial, its `last_step` among them."""
    assert len(frame(stopped(100, 110, 130))) == 1 + 2 + 3 - 3


def test_what_the_reference_has_and_the_run_has_not_is_missing() -> None:
    both = planted({CELL: [LOSSES, row(0, "train_accuracy", [0.5, 0.5])]}, trials=2)
    compared = compare(planted({CELL: [LOSSES]}, trials=2), both, NAME)
    outcomes = compared.set_index("quantity")["outcome"].to_dict()
    assert outcomes == {"train_accuracy": Outcome.MISSING, "train_loss": Outcome.SAME}


def test_cells_that_the_run_has_not_are_not_compared() -> None:
    elsewhere = planted({Cell("elu", "full"): [LOSSES]}, trials=2)
    assert compare(elsewhere, planted({CELL: [LOSSES]}, trials=2), NAME).empty


def test_only_settings_that_numbers_depend_on_count() -> None:
    base = run_of(values()).settings
    faster = run_of(values(), threads=2).settings
    wider = run_of(values(), network__width=64).settings
    assert differing_keys(base, faster.model_copy(update={"trials": 1})) == []
    assert differing_keys(wider.model_copy(update={"seed": 2}), base) == ["network.width", "seed"]
