"""What claims measure: each measure finds what was planted, trial by trial."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conftest import planted, refused, row
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Measurement, Metrics

ELU = Cell("elu", "full")


def values(name: str, metrics: Metrics, **options: Any) -> pd.Series:
    return MEASURES[name](metrics, **options)["value"]


def test_comparisons_pair_the_trials() -> None:
    full, low = ([1.0, 2.0, 4.0], [2.0, 3.0, 5.0])
    cells = {
        Cell("elu", name): [row(9, "loss", ends, layer=0)]
        for name, ends in (("full", full), ("s_big", low))
    }
    metrics, to = planted(cells), {"parameterization": "full"}
    compared = {
        "difference": [1.0, 1.0, 1.0],
        "relative_difference": [1.0, 0.5, 0.25],
        "ratio": [2.0, 1.5, 1.25],
    }
    for by, expected in compared.items():
        found = MEASURES["compared_at_end"](metrics, quantity="loss", to=to, by=by)
        assert found.loc[found["parameterization"] == "s_big", "value"].tolist() == expected
        assert set(found["trial"]) == {0, 1, 2}


def test_end_against_start_and_growth() -> None:
    metrics = planted(
        {ELU: [row(t, "train_loss", [loss], layer=0) for t, loss in enumerate((4, 16, 1))]}
    )
    assert values("end_against_start", metrics, quantity="train_loss").tolist() == [0.25]
    assert values("growth", metrics, quantity="train_loss").tolist() == [4.0]


def test_fits_find_the_rates_that_were_planted() -> None:
    """Held values after a trial's end count for nothing."""
    steps, rates = np.arange(40), (0.1, 0.05)
    rows = [row(0, "last_step", [30.0, 39.0], layer=0)]
    for step in steps:
        factor = [np.exp(-rate * min(step, end)) for rate, end in zip(rates, (30, 39), strict=True)]
        rows += [row(step, "gradient_norm", factor)]
        rows += [row(step, "gradient_singular_value", [[3 * f, 2 * f**0.5] for f in factor])]
    metrics = planted({ELU: rows})
    np.testing.assert_allclose(values("gradient_decay_fit", metrics), 1.0)
    agreement = MEASURES["decay_rate_agreement"](metrics)
    np.testing.assert_allclose(agreement.loc[agreement["index"] == 1, "value"], 1.0)
    np.testing.assert_allclose(agreement.loc[agreement["index"] == 2, "value"], 0.5)


def test_growth_is_no_decay() -> None:
    rows = [row(0, "last_step", [9.0] * 3, layer=0)]
    for step in range(10):
        rows += [row(step, "gradient_norm", [1.1**step] * 3)]
        rows += [row(step, "gradient_singular_value", [[1.1**step, 0.9**step]] * 3)]
    metrics = planted({ELU: rows})
    np.testing.assert_allclose(values("gradient_decay_fit", metrics), -1.0)
    assert (values("decay_rate_agreement", metrics) < 0).all()


def test_slopes_in_eps() -> None:
    eps = [1.0, 0.1, 0.01]
    tails = [[3 * each for each in eps], [each**2 for each in eps]]
    metrics = planted({ELU: [row(0, "tail", tails)]}, observe__start_eps=eps)
    np.testing.assert_allclose(values("slope_at_the_start", metrics, quantity="tail"), [1.0, 2.0])
    parts = []
    for each in eps:
        cell = Cell("elu", "full", f"eps_{each:g}")
        parts.append(planted({cell: [row(0, "update_bound", [each, each**2])]}, network__eps=each))
    origins = {name: origin for part in parts for name, origin in part.cells.items()}
    joined = Metrics(pa.concat_tables([part.table for part in parts]).unify_dictionaries(), origins)
    np.testing.assert_allclose(values("slope_of_the_first_bound", joined), [1.0, 2.0])


def test_the_form_of_the_bound_is_found() -> None:
    """Whatever its constant and its rate; noise explains nothing."""
    rows = [row(0, "last_step", [59.0] * 3, layer=0)]
    noise = np.random.default_rng(0).lognormal(size=(60, 1))
    for step in range(1, 60):
        curves = [c * q**step * (1 - q**step) for c, q in ((3.0, 0.9), (1e-4, 0.99))]
        rows.append(row(step, "update_bound", [*curves, noise[step, 0]]))
    *exact, noisy = values("bound_fit", planted({ELU: rows}))
    np.testing.assert_allclose(exact, 1.0, atol=1e-6)
    assert noisy < 0.3


def decaying(*, held: bool) -> Metrics:
    """Return what is fitted, of no exact form, of two trials: the first ends at step 20, and keeps
    its values there or has no more.
    """
    rows = [row(0, "last_step", [20.0, 39.0], layer=0)]
    for step in range(40):
        steps = np.array([min(step, 20), step])
        present = np.array([held or step <= 20, True])
        curves = np.stack([0.9**steps + 0.01, 0.95**steps + 0.02], axis=1)
        for quantity, measured in (
            ("gradient_norm", curves[:, 0]),
            ("gradient_singular_value", curves),
            ("update_bound", curves[:, 1]),
        ):
            rows.append(row(step, quantity, measured)._replace(present=present))
    return planted({ELU: rows})


@pytest.mark.parametrize("name", ["gradient_decay_fit", "decay_rate_agreement", "bound_fit"])
def test_values_kept_after_the_end_of_a_trial_change_no_fit(name: str) -> None:
    fits = [values(name, decaying(held=held)).tolist() for held in (False, True)]
    assert fits[0] == fits[1]


def test_a_bound_that_does_not_vary_has_no_form() -> None:
    rows = [row(0, "last_step", [1.0], layer=0), row(1, "update_bound", [0.5])]
    assert values("bound_fit", planted({ELU: rows})).isna().all()


def test_the_smallest_over_eps() -> None:
    tails = [[0.4, 0.3, 0.5], [0.2, 0.1, 0.6]]
    metrics = planted({ELU: [row(0, "tail", tails)]}, observe__start_eps=[1.0, 0.1, 0.01])
    assert values("smallest_at_the_start", metrics, quantity="tail").tolist() == [0.3, 0.1]


def test_gap_ratio_and_decay_of_the_bound() -> None:
    rows = [row(0, "signal_singular_value", [[9.0, 4.0]])]
    for step, (tail, bound, update) in enumerate(
        ((1.0, 2.0, 1.0), (2.0, 8.0, 6.0), (0.5, 2.0, 1.0))
    ):
        rows.append(row(step, "gradient_singular_value", [[9.0, 5.0, tail]]))
        rows.append(row(step, "update_bound", [bound]))
        rows.append(row(step, "block_update", [[100.0, 0.1, update, 0.2]]))
    metrics = planted({ELU: rows}, data__classes=2)
    assert values("gradient_gap", metrics).tolist() == [0.5]
    assert values("update_ratio", metrics).tolist() == [0.75]
    assert values("bound_decay", metrics).tolist() == [0.25]


def test_movement_is_compared_with_the_network_that_moves_least() -> None:
    def cell(left: float, change: float) -> list[Measurement]:
        start, end = [[1.0] * 6], [[2.0, 1.0, 1 + change, 1 - change, 1.0, 0.0]]
        moved = [
            row(t, f"sine_{side}_middle", [t * left]) for t in (1, 3) for side in ("left", "right")
        ]
        return [row(0, "singular_value", start), row(3, "singular_value", end), *moved]

    moves = {"elu": (0.1, 0.1), "relu": (0.2, 0.4), "rrelu": (0.4, 0.8)}
    metrics = planted(
        {Cell(name, "full"): cell(*both) for name, both in moves.items()}, data__classes=2
    )
    moved = MEASURES["movement_ratio"](metrics, group="middle", others=["relu", "rrelu"])
    np.testing.assert_allclose(moved.loc[moved["activation"] == "elu", "value"], 0.5)
    displaced = MEASURES["displacement_ratio"](metrics, others=["relu", "rrelu"])
    np.testing.assert_allclose(displaced.loc[displaced["activation"] == "elu", "value"], 0.25)
    with refused("nothing was measured of leaky_relu"):
        MEASURES["movement_ratio"](metrics, group="middle", others=["relu", "leaky_relu"])
    share = MEASURES["moved_singular_values"](metrics, layer=1)
    np.testing.assert_allclose(share.loc[share["activation"] == "elu", "value"], 1.0)


def test_the_share_at_chance_ends_before_the_loss_falls() -> None:
    """It is 1 only for a trial that is at chance to the end; a loss that comes back has left it
    anyway.
    """
    trials = {
        1.0: [2.0, 2.0, 2.0, 2.0, 2.0],
        0.0: [2.0, 1.0, 2.0, 2.0, 2.0],
        0.75: [2.0, 2.0, 1.95, 2.0, 1.0],
    }
    rows = [
        row(10 * i, "test_loss", losses, layer=0)
        for i, losses in enumerate(zip(*trials.values(), strict=True))
    ]
    found = values("share_at_chance", planted({Cell("gelu", "random"): rows}), fallen_to=0.95)
    assert found.tolist() == list(trials)


def test_the_time_to_reach_is_relative_and_at_least_what_was_seen() -> None:
    """Nine tenths of the full network's end, 0.9: reached after 2 steps by it, after 3 and never by
    the other.
    """
    full, low = (
        [[0.1, 0.8, 0.82, 0.9], [0.1, 0.2, 0.85, 0.9]],
        [[0.1, 0.2, 0.6, 0.9], [0.1, 0.1, 0.1, 0.1]],
    )
    cells = {
        Cell("gelu", name): [
            row(t, "test_accuracy", at, layer=0) for t, at in enumerate(zip(*trials, strict=True))
        ]
        for name, trials in (("full", full), ("s_big", low))
    }
    options = {"quantity": "test_accuracy", "fraction": 0.9, "of": {"parameterization": "full"}}
    found = MEASURES["time_to_reach"](planted(cells), **options).set_index(
        ["parameterization", "trial"]
    )["value"]
    assert found["full"].tolist() == [1.0, 1.0]
    assert found["s_big"].tolist() == [3 / 2, 3 / 2]


def test_a_share_of_gain_needs_a_gain() -> None:
    ends = {("s_big", "2k"): [0.5, 0.5], ("s_big", "4k"): [0.7, 0.7], ("full", "2k"): [0.9, 0.4]}
    cells = {
        Cell("gelu", *names): [row(9, "test_accuracy", at, layer=0)] for names, at in ends.items()
    }
    start, end = ({"parameterization": name, "variant": "2k"} for name in ("s_big", "full"))
    found = MEASURES["share_of_gain"](planted(cells), "test_accuracy", start, end)
    wide = found.loc[found["variant"] == "4k", "value"]
    assert wide.iloc[0] == pytest.approx(0.5)
    assert np.isnan(wide.iloc[1])
