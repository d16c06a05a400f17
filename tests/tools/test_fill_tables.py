"""The tables in README and docs are those of the reference, which agrees with the statements."""

import math
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from conftest import CLAIM, refused
from lowrank_dynamics.analysis.claims import Claim
from lowrank_dynamics.analysis.verdicts import verdict_on
from tools import fill_tables, write_schemas

THRESHOLDS = {
    "at least": {"at_least": 0.9, "partly": 0.5},
    "at least, one reading": {"at_least": 0.9},
    "at most": {"at_most": 0.9, "partly": 1.0},
    "within": {"within": 0.1, "partly": 0.25},
    "between": {"between": (0.3, 0.5), "partly": (0.2, 0.8)},
}


def test_verdicts_by_other_thresholds_fill_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = fill_tables.verdict_rows("laptop")
    is_changed = rows["claim"] == "change_is_in_block_1"
    rows.loc[is_changed, "low"] = 0.8
    monkeypatch.setattr(fill_tables, "verdict_rows", lambda _: rows)
    monkeypatch.setattr(sys, "argv", ["fill_tables", "--check"])
    with pytest.raises(SystemExit, match="laptop scale has verdicts on change_is_in_block_1 by"):
        fill_tables.main()


@pytest.mark.parametrize("tool", [fill_tables, write_schemas])
def test_a_mistyped_option_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tool: ModuleType
) -> None:
    monkeypatch.setattr(sys, "argv", ["tool", "--chek"])
    with pytest.raises(SystemExit):
        tool.main()
    assert "unrecognized arguments: --chek" in capsys.readouterr().err


@pytest.mark.parametrize("error", [0.01, 0.07, 0.2])
@pytest.mark.parametrize("thresholds", THRESHOLDS.values(), ids=THRESHOLDS)
def test_the_distance_to_another_verdict_is_that_of_the_nearest_shift(
    thresholds: dict[str, object], error: float
) -> None:
    """Also where the error exceeds an interval, which then contains nothing."""
    claim = Claim.model_validate({**CLAIM, "at_least": None, **thresholds})
    readings = {"low": claim.reading.low, "high": claim.reading.high}
    readings |= {"weaker_low": claim.weaker.low, "weaker_high": claim.weaker.high}
    shifts = np.linspace(0, 1.5, 3001)
    for mean in np.random.default_rng(0).uniform(-0.5, 1.2, size=20):
        cell = {"mean": mean, "error": error, "trials": 3, "over_trials": "mean"} | readings
        verdict = verdict_on(claim, mean - error, mean + error)
        nearest = math.inf
        for shift in shifts:
            means = mean - shift, mean + shift
            moved = {verdict_on(claim, near - error, near + error) for near in means}
            if moved != {verdict}:
                nearest = shift
                break
        distance = fill_tables.errors_to_another_verdict(cell) * error
        assert distance == pytest.approx(nearest, abs=shifts[1] + 1e-9)


def test_a_marker_with_the_name_of_no_table_is_refused() -> None:
    place = fill_tables.PLACE.search("<!-- table: verdict -->\n\n\n\n<!-- end -->")
    assert place
    with refused("verdict is no table, and no experiment that claims are about"):
        fill_tables.filled(place)


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["reproduced", "not run", "not reproduced"], "1 of 3 reproduced, 1 open"),
        (["undecided, 7 trials are likely to settle it"], "0 of 1 reproduced"),
        (["not testable", "not run"], "not testable"),
        (["not run", "not run"], "not run"),
    ],
)
def test_a_figure_without_any_verdict_says_why(verdicts: list[str], words: str) -> None:
    assert fill_tables.reproduced(pd.Series(verdicts)) == words
