"""Values at matched training loss, which do not depend on when a network begins to learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conftest import planted, row, run_named
from lowrank_dynamics.analysis.claims import Claim
from lowrank_dynamics.analysis.matched_loss import LEVELS
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.analysis.verdicts import Verdict, judge
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage.metrics import Measurement

STEPS = range(0, 80, 2)
LAPTOP = run_named("laptop")
AT = {"quantity": "block_share", "index": 1}


def cell(loss: Callable[[int], float], value: Callable[[int], float]) -> list[Measurement]:
    """Return a training in which loss and share of block 1 are these functions of the step."""
    rows = []
    for step in STEPS:
        rows.append(row(step, "train_loss", [loss(step)], layer=0))
        rows.append(row(step, "block_share", [[value(step)]]))
    return rows


def delayed(name: str, delay: int) -> dict[Cell, list[Measurement]]:
    """Return a training that begins after `delay` steps: the loss falls linearly, a share grows
    with what has been learned.
    """

    def learned(step: int) -> float:
        return max(0.0, step - delay) / 40

    return {
        Cell(name, "full"): cell(
            lambda step: 8 * max(0.05, 1 - learned(step)), lambda step: learned(step) ** 2
        )
    }


def test_levels_are_found_between_the_recorded_steps() -> None:
    """Steps are recorded every second one; the loss falls to a quarter in the 29th and half."""
    metrics = planted({Cell("elu", "full"): cell(lambda step: 2 - step / 20, lambda step: step)})
    found = MEASURES["value_at_loss"](metrics, **AT)
    assert found["level"].tolist() == list(LEVELS)
    np.testing.assert_allclose(found["value"], [20.0, 30.0, 36.0])


def test_a_network_that_begins_later_has_the_same_values() -> None:
    both = delayed("elu", 0) | delayed("gelu", 30)
    found = MEASURES["value_at_loss"](planted(both), **AT).set_index(["activation", "level"])
    early, late = found.loc["elu", "value"], found.loc["gelu", "value"]
    np.testing.assert_allclose(early[:0.25], [0.25, 0.5625])
    np.testing.assert_allclose(late[:0.25], early[:0.25])


def test_what_never_gets_there_is_named() -> None:
    rows = []
    for step in STEPS:
        rows.append(row(step, "train_loss", [1 - step / 100] * 3, layer=0))
        rows.append(row(step, "block_share", [[0.9]] * 3))
    claim = Claim(
        figure="figure_4",
        place="here",
        statement="It stays.",
        quantity="share",
        experiment="small",
        measure="value_at_loss",
        options=AT,
        cells={"activation": ["elu"], "level": [0.5, 0.1]},
        at_least=0.5,
        because="it is so",
    )
    half, tenth = judge(claim, planted({Cell("elu", "full"): rows}), LAPTOP, {})
    assert (half.cell, half.verdict) == ("ELU, at 0.5 of the first loss", Verdict.REPRODUCED)
    assert tenth.verdict is Verdict.NOT_TESTABLE
    assert tenth.reason == "the training loss never falls to 0.1 of the first in 3 of 3 trials"


def moving(name: str, speed: float) -> dict[Cell, list[Measurement]]:
    """Return a training in which the loss falls as in all others, and subspaces move at a speed."""
    rows = []
    for step in STEPS:
        rows.append(row(step, "train_loss", [1 - step / 80], layer=0))
        for side in ("left", "right"):
            rows.append(row(step, f"sine_{side}_middle", [speed * step]))
    return {Cell(name, "full"): rows}


def learning(rate: float) -> list[Measurement]:
    """Return three trials in which the loss falls at this rate while subspaces move."""
    rows = []
    for step in STEPS:
        rows.append(row(step, "train_loss", [1 - rate * step] * 3, layer=0))
        for side in ("left", "right"):
            rows.append(row(step, f"sine_{side}_middle", [0.1] * 3))
    return rows


@pytest.mark.parametrize(
    ("measure", "options"),
    [
        ("movement_ratio_at_loss", {"group": "middle", "others": ["relu"]}),
        (
            "compared_at_loss",
            {"quantity": "sine_left_middle", "to": {"activation": "relu"}, "by": "ratio"},
        ),
    ],
)
def test_it_is_said_that_the_other_network_never_gets_there(
    measure: str, options: dict[str, Any]
) -> None:
    cells = {Cell("elu", "full"): learning(0.0125), Cell("relu", "full"): learning(0.001)}
    found = MEASURES[measure](planted(cells), **options)
    elu = found[found["activation"] == "elu"]
    assert elu["value"].isna().all()
    assert set(elu["undefined"]) == {"the network that it is compared with never gets there"}
    relu = found[found["activation"] == "relu"]
    assert relu["undefined"].str.startswith("the training loss never falls to").all()


def test_movement_and_its_time_are_relative_to_the_least() -> None:
    cells = moving("elu", 0.001) | moving("relu", 0.002) | moving("rrelu", 0.004)
    against = {"group": "middle", "others": ["relu", "rrelu"]}
    moved = MEASURES["movement_ratio_at_loss"](planted(cells), **against)
    np.testing.assert_allclose(moved.loc[moved["activation"] == "elu", "value"], 0.5)
    times = MEASURES["time_to_move"](planted(cells), distance=0.04, group="middle", others=["relu"])
    elu = times[times["activation"] == "elu"]
    np.testing.assert_allclose(elu["value"], 2.0)
    slowest = MEASURES["time_to_move"](
        planted(cells), distance=0.1, group="middle", others=["relu"]
    )
    elu = slowest[slowest["activation"] == "elu"]
    np.testing.assert_allclose(elu["value"], 78 / 50)
    assert elu["censored"].all(), "it never gets there"


@pytest.mark.parametrize(("after", "gap"), [(0.0, 5.0), (0.5, 2.0)])
def test_the_largest_gap_leaves_the_beginning_out(after: float, gap: float) -> None:
    curves = {"full": [0.0, 0.0, 0.0, 0.0, 0.0], "s_big": [0.0, 5.0, 1.0, -2.0, 1.0]}
    cells = {}
    for name, curve in curves.items():
        rows = [row(step, "loss", [value], layer=0) for step, value in enumerate(curve)]
        cells[Cell("elu", name)] = rows
    options = {"quantity": "loss", "to": {"parameterization": "full"}, "by": "difference"}
    found = MEASURES["largest_gap"](planted(cells), after=after, **options)
    assert found.loc[found["parameterization"] == "s_big", "value"].tolist() == [gap]


def test_what_falls_before_the_first_record_is_not_testable() -> None:
    """A share is first recorded after the first change, and what is before it is unknown."""
    loss = [row(step, "train_loss", [1 - step / 100] * 3, layer=0) for step in range(95)]
    share = [row(step, "block_share", [[0.9]] * 3) for step in range(60, 95)]
    found = MEASURES["value_at_loss"](planted({Cell("elu", "full"): loss + share}), **AT)
    half = found[found["level"] == LEVELS[0]]
    assert half["value"].isna().all()
    assert set(half["undefined"]) == {
        f"the training loss falls to {LEVELS[0]:g} of the first before the first record"
    }
    assert not found.loc[found["level"] == LEVELS[1], "value"].isna().any()


def falling(to: float) -> list[Measurement]:
    """Return three trials in which the loss falls to this part of the first, in 100 steps."""
    fall = (1 - to) / 100
    return [row(step, "train_loss", [1 - fall * step] * 3, layer=0) for step in range(101)]


ENDS = "training ends before it gets there"
NEVER = "the network that it is compared with never gets there in 3 of 3 trials"


@pytest.mark.parametrize(
    ("whole", "threshold", "verdict", "reason"),
    [
        (0.0, {"at_least": 1.5}, Verdict.REPRODUCED, ""),
        (0.0, {"at_least": 2.5}, Verdict.UNDECIDED, ENDS),
        (0.0, {"at_least": 2.5, "partly": 1.5}, Verdict.PARTLY, ENDS),
        (0.0, {"at_most": 2.5}, Verdict.UNDECIDED, ENDS),
        (0.0, {"between": [1.5, 2.5]}, Verdict.UNDECIDED, ENDS),
        (0.0, {"at_most": 1.5}, Verdict.NOT_REPRODUCED, ""),
        (0.6, {"at_least": 0.5}, Verdict.NOT_TESTABLE, NEVER),
    ],
)
def test_a_time_that_is_not_over_is_a_lower_bound(
    whole: float, threshold: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    """The whole network's loss has halved after 50 steps, the other's after more than 100."""
    cells = {
        Cell("elu", "full", "whole"): falling(whole),
        Cell("elu", "full", "outside"): falling(0.6),
    }
    claim = Claim.model_validate(
        {
            "figure": "figure_4",
            "place": "here",
            "statement": "It is late.",
            "quantity": "time",
            "experiment": "small",
            "measure": "time_to_fall",
            "options": {"to_level": 0.5, "of": {"variant": "whole"}},
            "cells": {"variant": ["outside"]},
            "because": "it is so",
            **threshold,
        }
    )
    (found,) = judge(claim, planted(cells), LAPTOP, {})
    assert (found.verdict, found.reason) == (verdict, reason)
    if verdict is not Verdict.NOT_TESTABLE:
        assert found.censored
        assert found.mean == pytest.approx(2.0)


def test_the_time_to_fall_is_at_most_that_of_the_cell_itself() -> None:
    """Also where another cell takes more steps."""
    short = [row(step, "train_loss", [1.0], layer=0) for step in range(11)]
    long = [row(step, "train_loss", [1 - step / 100], layer=0) for step in range(101)]
    cells = {Cell("elu", "full", "inside"): short, Cell("elu", "full", "whole"): long}
    options = {"to_level": 0.5, "of": {"variant": "whole"}}
    times = MEASURES["time_to_fall"](planted(cells), **options).set_index("variant")["value"]
    assert times["inside"] == pytest.approx(10 / 50)
