"""The claims: every verdict can be reached, and what was not measured is never reproduced."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from conftest import CLAIM, ROOT, SCALES, planted, refused, row, run_named, settings_of
from lowrank_dynamics.analysis.claims import Claim, Claims, load_claims
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.analysis.table import COLUMNS, claims_table, fewer_trials, weakest_cells
from lowrank_dynamics.analysis.verdicts import Verdict, judge, worst
from lowrank_dynamics.cli.commands import app
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.folder import CLAIMS, FINDINGS
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.rendering import claims_page
from lowrank_dynamics.storage import tables
from lowrank_dynamics.storage.aggregation import combine
from lowrank_dynamics.storage.metrics import Metrics

NOWHERE: dict[str, str] = {}
LAPTOP = run_named("laptop")


def shares(*values: float) -> Metrics:
    """Return metrics in which block 1 of layer 1 of an ELU network has these shares at the end, one
    a trial.
    """
    start, end = (
        row(1, "block_share", [[1.0]] * len(values)),
        row(2, "block_share", [[value] for value in values]),
    )
    return planted({Cell("elu", "full"): [start, end]}, trials=len(values))


def claim(**changes: Any) -> Claim:
    return Claim.model_validate({**CLAIM, "partly": 0.5, **changes})


AT_MOST = {"at_least": None, "at_most": 0.9, "partly": 1.0}
WITHIN = {"at_least": None, "within": 0.1, "partly": 0.2}
BETWEEN = {"at_least": None, "between": (0.3, 0.4), "partly": (0.2, 0.5)}
ALWAYS = {"over_trials": "worst"}


@pytest.mark.parametrize(
    ("changes", "values", "verdict", "reason"),
    [
        ({}, (0.95, 0.96, 0.97), Verdict.REPRODUCED, ""),
        ({}, (0.9, 0.9, 0.9), Verdict.REPRODUCED, ""),
        ({}, (0.85, 0.95, 0.97), Verdict.PARTLY, "the error reaches beyond the stronger reading"),
        ({}, (0.6, 0.61, 0.62), Verdict.PARTLY, "only in the weaker reading"),
        ({}, (0.2, 0.3, 0.4), Verdict.NOT_REPRODUCED, ""),
        ({}, (0.4, 0.5, 0.7), Verdict.UNDECIDED, "132 trials are likely to settle it"),
        ({}, (0.2, 0.95, 0.97), Verdict.UNDECIDED, "trials are likely to settle it"),
        ({"partly": None}, (0.85, 0.95, 0.97), Verdict.UNDECIDED, "trials are likely"),
        ({"partly": None}, (0.8, 0.9, 1.0), Verdict.UNDECIDED, "1,000 trials are not likely"),
        (
            {},
            (0.99, 0.99),
            Verdict.NOT_TESTABLE,
            "only 2 trials; 3 are needed to estimate the spread",
        ),
        ({}, (0.99, 0.99, np.inf), Verdict.NOT_TESTABLE, "a value is not finite"),
        ({}, (0.99, 0.99, 1e300), Verdict.NOT_TESTABLE, "the spread is not finite"),
        (AT_MOST, (0.8, 0.81, 0.82), Verdict.REPRODUCED, ""),
        (AT_MOST, (0.94, 0.95, 0.96), Verdict.PARTLY, "weaker reading"),
        (AT_MOST, (1.2, 1.1, 1.1), Verdict.NOT_REPRODUCED, ""),
        (WITHIN, (-0.01, 0.01, -0.02), Verdict.REPRODUCED, ""),
        (WITHIN, (-0.15, -0.151, -0.152), Verdict.PARTLY, "weaker reading"),
        (WITHIN, (-0.3, -0.3, -0.3), Verdict.NOT_REPRODUCED, ""),
        (WITHIN, (-0.3, 0.0, 0.3), Verdict.UNDECIDED, ""),
        (BETWEEN, (0.31, 0.32, 0.33), Verdict.REPRODUCED, ""),
        (BETWEEN, (0.44, 0.45, 0.46), Verdict.PARTLY, "weaker reading"),
        (BETWEEN, (0.1, 0.11, 0.12), Verdict.NOT_REPRODUCED, ""),
        (BETWEEN, (0.6, 0.61, 0.62), Verdict.NOT_REPRODUCED, ""),
        (ALWAYS, (0.99, 0.99, 0.91), Verdict.REPRODUCED, ""),
        (
            ALWAYS,
            (0.99, 0.99, 0.89),
            Verdict.PARTLY,
            "weaker reading",
        ),  # although the mean is above 0.9
    ],
)
def test_each_verdict_is_reached(
    changes: dict[str, Any], values: tuple[float, ...], verdict: Verdict, reason: str
) -> None:
    (cell,) = judge(claim(**changes), shares(*values), LAPTOP, NOWHERE)
    assert (cell.verdict, cell.trials) == (verdict, len(values))
    assert reason in cell.reason
    if verdict is not Verdict.NOT_TESTABLE:
        assert cell.mean == pytest.approx(np.mean(values))
        assert cell.worst == min(values, key=claim(**changes).reading.margin)
        assert cell.deviation == pytest.approx(np.std(values, ddof=1))


def test_a_verdict_is_never_better_than_that_of_its_worst_cell() -> None:
    good, bad = ([[0.95]] * 3, [[0.1]] * 3)
    cells = {
        Cell(name, "full"): [row(1, "block_share", values)]
        for name, values in (("elu", good), ("gelu", bad))
    }
    both = claim(cells={"activation": ["elu", "gelu"], "layer": [1]})
    found = judge(both, planted(cells), LAPTOP, NOWHERE)
    assert [cell.verdict for cell in found] == [Verdict.REPRODUCED, Verdict.NOT_REPRODUCED]
    assert worst(found) is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize("value", [1.1, -0.1, 1e299])
def test_a_share_that_cannot_be_is_refused(settings: Callable[..., Settings], value: float) -> None:
    claims = Claims(scales_that_cannot_tell={}, claims={})
    with refused(re.escape(f"have a block_share of {value:g}, which is impossible")):
        claims_table(claims, {"small": shares(value, 0.9, 0.9)}, settings(), LAPTOP)


ELU = Cell("elu", "full")
HIGH, LOW = [[0.99]] * 3, [[0.2]] * 3
TWO_LAYERS = planted({ELU: [row(1, "block_share", HIGH), row(1, "block_share", LOW, layer=2)]})


@pytest.mark.parametrize(
    ("changes", "metrics", "reason"),
    [
        (
            {"options": {"quantity": "change_rank"}},
            TWO_LAYERS,
            "the metrics hold no change_rank",
        ),
        ({"cells": {"activation": ["elu"], "layer": [1, 3]}}, TWO_LAYERS, "not measured"),
        ({"cells": {"activation": ["elu", "gelu"], "layer": [1]}}, TWO_LAYERS, "not measured"),
        (
            {"cells": {"activation": ["elu"], "side": ["left"]}},
            TWO_LAYERS,
            "value_at_end has no column side",
        ),
        ({"cells": {"activation": ["elu"]}}, TWO_LAYERS, "several values per trial"),
        (
            {},
            planted({ELU: [row(1, "block_share", HIGH)]}, trials=4),
            "measured in only 3 of 4 trials",
        ),
        ({"experiment": "large"}, None, "experiment large was not run"),
    ],
)
def test_what_cannot_be_judged_is_not_testable_with_a_reason(
    changes: dict[str, Any], metrics: Metrics | None, reason: str
) -> None:
    found = judge(claim(**changes), metrics, LAPTOP, NOWHERE)
    assert worst(found) is Verdict.NOT_TESTABLE
    assert reason in found[-1].reason


@pytest.mark.parametrize("order", [(3, 1), (1, 3)], ids=["most first", "most last"])
def test_a_cell_with_fewer_trials_than_others_is_not_testable(
    settings: Callable[..., Settings], order: tuple[int, int]
) -> None:
    """Whichever cell is first: in a reference that is kept trial by trial they may differ."""
    parts = []
    for name, trials in zip(("elu", "gelu"), order, strict=True):
        rows = [row(1, "block_share", [[0.99]] * trials)]
        parts.append(planted({Cell(name, "full"): rows}, trials=trials))
    both = claim(cells={"activation": ["elu", "gelu"], "layer": [1]})
    claims = Claims(scales_that_cannot_tell={}, claims={"block_1": both})
    declared = settings(activations=["elu", "gelu"])
    found = claims_table(claims, {"small": combine(parts)}, declared, LAPTOP)
    assert set(found["run_trials"]) == {3}
    verdicts = dict(zip(found["trials"], found["verdict"], strict=True))
    assert verdicts == {3: Verdict.REPRODUCED, 1: Verdict.NOT_TESTABLE}
    assert "measured in only 1 of 3 trials" in set(found["reason"])


def test_a_scale_may_be_unable_to_tell() -> None:
    (cell,) = judge(claim(), shares(0.99, 0.99, 0.99), run_named("smoke"), {"smoke": "too short"})
    assert (cell.verdict, cell.reason, cell.trials) == (Verdict.NOT_TESTABLE, "too short", 3)


def test_an_alternative_is_judged_by_the_activations_it_runs() -> None:
    both = claim(cells={"activation": ["elu", "gelu"], "layer": [1]})
    small = shares(0.99, 0.99, 0.99)
    (cell,) = judge(both, small, run_named("laptop/sensitivity/width_64"), NOWHERE)
    assert cell.verdict is Verdict.REPRODUCED
    (cell,) = judge(both, small, run_named("smoke/sensitivity/width_64"), {"smoke": "too short"})
    assert cell.verdict is Verdict.NOT_TESTABLE
    assert worst(judge(both, small, LAPTOP, NOWHERE)) is Verdict.NOT_TESTABLE


def test_the_projects_claims_are_about_what_every_scale_runs() -> None:
    claims, findings = (load_claims(ROOT / "configs" / name) for name in (CLAIMS, FINDINGS))
    assert {claim.measure for each in (claims, findings) for claim in each.claims.values()} == set(
        MEASURES
    )
    for scale in SCALES:
        claims.check(settings_of(scale))


def test_a_claim_is_about_what_its_figure_shows() -> None:
    """Its experiment and, where the figure is about one layer, that layer and no other."""
    for name, each in load_claims(ROOT / "configs" / CLAIMS).claims.items():
        figure = FIGURES[each.figure]
        assert each.experiment in figure.experiments, name
        if "layer" in figure.options:
            assert each.cells["layer"] == [figure.options["layer"]], name


def to(**cell: str) -> dict[str, Any]:
    """Return the changes that make a claim compare with this cell."""
    options = {"quantity": "train_loss", "to": cell, "by": "ratio"}
    return {"measure": "compared_at_end", "options": options}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"experiment": "case_studdy"},
            "claims.wrong.experiment: 'case_studdy' is not one of case_study",
        ),
        (
            {"cells": {"activation": ["ellu"]}},
            "claims.wrong.cells.activation: 'ellu' is not one of elu",
        ),
        ({"cells": {"variant": ["adam"]}}, "claims.wrong.cells.variant: 'adam' is not one of base"),
        ({"cells": {"layer": [4]}}, "claims.wrong.cells.layer: 4 is not one of 1, 2, 3"),
        (to(parameterization="ful"), "wrong.options.to.parameterization: 'ful' is not one of full"),
        (to(variant="psi_00"), "wrong.options.to.variant: 'psi_00' is not one of base"),
        (to(activation="rellu"), "wrong.options.to.activation: 'rellu' is not one of elu"),
        (
            {"measure": "displacement_ratio", "options": {"others": ["rellu"]}},
            "wrong.options.others: 'rellu' is not one of elu",
        ),
        (
            {"measure": "moved_singular_values", "options": {"layer": 9}},
            "wrong.options.layer: 9 is not one of 1, 2, 3",
        ),
    ],
)
def test_a_claim_about_what_is_not_run_is_refused(changes: dict[str, Any], message: str) -> None:
    wrong = claim(**{"experiment": "case_study", **changes})
    with refused(message):
        Claims(scales_that_cannot_tell={}, claims={"wrong": wrong}).check(settings_of("laptop"))


COMPARED = {"measure": "compared_at_end"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at_most": 1.0}, "set exactly one of at_least, at_most, within, between"),
        ({"partly": 0.95}, "partly must be a weaker threshold, is 0.95"),
        ({"partly": [0.1, 0.2]}, "partly must be a number, like at_least"),
        (
            {"at_least": None, "between": [0.1, 0.2], "partly": 0.3},
            "partly must be two numbers, like between",
        ),
        (
            {"at_least": None, "between": [-0.045, -0.105], "partly": None},
            "between: (-0.045, -0.105) allows no value",
        ),
        (
            {"at_least": None, "within": -0.02, "partly": None},
            "within: -0.02 allows no value",
        ),
        ({"measure": "guess"}, "'guess' is not one of value_at_end"),
        ({"figure": "figure_99"}, "'figure_99' is not one of overview"),
        ({"cells": {"activation": []}}, "cells.activation: List should have at least 1 item"),
        ({"cells": {"layr": [1]}}, "cells.layr: should be 'activation'"),
        ({"threshold": 1.0}, "threshold: unknown key"),
        (
            {"options": {"quantity": "train_loss", "step": 3}},
            "options.step: unknown key",
        ),
        (
            {"options": {"quantity": "train_loss", "index": "one"}},
            "options.index: should be a valid integer",
        ),
        ({"options": {}}, "options.quantity: missing key"),
        (
            {"options": {"quantity": "block_size"}},
            "options.quantity: 'block_size' is not one of last_step, train_loss",
        ),
        (
            {
                **COMPARED,
                "options": {"quantity": "train_loss", "to": {"varient": "a"}, "by": "ratio"},
            },
            "to.varient",
        ),
        (
            {"measure": "movement_ratio", "options": {"group": "midle", "others": ["relu"]}},
            "options.group: 'midle' is not one of top, middle, bottom",
        ),
        (
            {**COMPARED, "options": {"quantity": "train_loss", "to": {}, "by": "diff"}},
            "options.by: should be",
        ),
    ],
)
def test_a_wrong_claim_is_refused_with_its_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    content = claim().model_dump(exclude_none=True) | changes
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump({"scales_that_cannot_tell": {}, "claims": {"block_1": content}}))
    with pytest.raises(UserError) as refusal:
        load_claims(file)
    assert message in str(refusal.value)
    assert "claims.yaml: claims.block_1" in str(refusal.value)


def written(
    tmp_path: Path, settings: Callable[..., Settings], *values: float, trials: int | None = None
) -> Path:
    claims = Claims(
        scales_that_cannot_tell={}, claims={"block_1": claim(), "again": claim(partly=None)}
    )
    path = tmp_path / "claims.parquet"
    found = claims_table(
        claims, {"small": shares(*values)}, settings(trials=trials or len(values)), LAPTOP
    )
    table = tables.Table(found, {"scale": "laptop"})
    tables.write(table, claims_page(table, LAPTOP), path)
    return path


def test_the_page_and_the_table_say_the_same(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    path = written(tmp_path, settings, 0.6, 0.61, 0.62)
    found, page = tables.read(path, COLUMNS).rows, path.with_suffix(".md").read_text()
    assert found["claim_verdict"].tolist() == [Verdict.PARTLY, Verdict.NOT_REPRODUCED]
    counts = "0 reproduced, 1 partly reproduced, 0 undecided, 0 not testable, 1 not reproduced"
    assert f"2 claims: {counts}." in page
    statement, numbers = (
        "Almost all of the change lies in block 1.",
        "0.61 ± 0.01 | ≥ 0.9 (partly: ≥ 0.5)",
    )
    assert f"| 3 | {statement} | 20 steps of all samples | 3 | ELU, layer 1 | {numbers}" in page
    assert "partly reproduced (only in the weaker reading)" in page
    with refused("not a readable table of verdicts"):
        tables.read(tmp_path / "claims.md", COLUMNS)


BOTH = "20 steps of all samples; 80 steps of all samples"
TO_SHORT = {
    "measure": "compared_at_end",
    "options": {"quantity": "block_share", "to": {"variant": "short"}, "by": "ratio"},
}
OVER_SHORT = {
    "measure": "slope_over_variants",
    "options": {"quantity": "block_share", "setting": "network.eps", "variants": ["short"]},
}


def of_variants(**steps: int) -> Metrics:
    """Return metrics of variants that take these numbers of steps."""
    rows = [row(1, "block_share", HIGH)]
    measured = planted({Cell("elu", "full", variant): rows for variant in steps})
    cells = {}
    for name, cell in measured.cells.items():
        assert cell.settings
        training = cell.settings.training.model_copy(update={"steps": steps[cell.variant]})
        settings = cell.settings.model_copy(update={"training": training})
        cells[name] = cell.model_copy(update={"settings": settings})
    return Metrics(measured.table, cells)


def test_a_run_of_fewer_trials_than_the_scale_has_is_said_to_be(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    path = written(tmp_path, settings, 0.95, 0.96, 0.97, trials=5)
    page = path.with_suffix(".md").read_text()
    counts = "2 reproduced, 0 partly reproduced, 0 undecided, 0 not testable, 0 not reproduced"
    assert f"2 claims: {counts}. Judged by fewer trials than the scale has: 2." in page
    assert "| 20 steps of all samples | 3 of 5 | ELU, layer 1 |" in page
    not_run = claims_table(
        Claims(scales_that_cannot_tell={}, claims={"block_1": claim()}), {}, settings(), LAPTOP
    )
    assert "fewer trials" not in claims_page(tables.Table(not_run, {}), LAPTOP)
    about_nothing = claims_table(
        Claims(scales_that_cannot_tell={}, claims={}), {}, settings(), LAPTOP
    )
    assert "0 claims: 0 reproduced" in claims_page(tables.Table(about_nothing, {}), LAPTOP)


@pytest.mark.parametrize(("over_trials", "decides"), [("mean", "wide"), ("worst", "near")])
def test_the_cell_nearest_to_failing_decides_by_its_interval(
    over_trials: str, decides: str
) -> None:
    rows = {"cell": ["near", "wide"], "mean": [0.92, 0.95], "error": [0.01, 0.04]}
    judged = {"claim": "one", "verdict": "reproduced", "claim_verdict": "reproduced"}
    table = pd.DataFrame(rows).assign(**judged, over_trials=over_trials, low=0.9, high=np.inf)
    (cell,) = weakest_cells(table.assign(worst=table["mean"]))["cell"]
    assert cell == decides


def test_checks_are_not_counted_among_the_claims_judged_by_fewer_trials() -> None:
    rows = {"claim": ["one", "one", "two"], "role": ["claim", "claim", "check"]}
    table = pd.DataFrame(rows).assign(run_trials=3, scale_trials=10)
    assert fewer_trials(table) == 1


@pytest.mark.parametrize(
    ("changes", "budget"),
    [
        ({"cells": {"variant": ["longer"]}}, "80 steps of all samples"),
        ({"cells": {"variant": ["short", "same"]}}, "20 steps of all samples"),
        ({"cells": {"variant": ["longer"]}, **TO_SHORT}, BOTH),
        ({"cells": {"layer": [1]}, **OVER_SHORT}, "20 steps of all samples"),
        ({"cells": {"layer": [1]}}, BOTH),
    ],
)
def test_the_budget_is_that_of_the_variants_that_a_claim_names(
    settings: Callable[..., Settings], changes: dict[str, Any], budget: str
) -> None:
    measured = of_variants(short=20, same=20, longer=80)
    claims = Claims(scales_that_cannot_tell={}, claims={"block_1": claim(**changes)})
    found = claims_table(claims, {"small": measured}, settings(), LAPTOP)
    assert set(found["budget"]) == {budget}


def test_a_claim_that_fails_is_an_error_only_if_asked_for(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    path = written(tmp_path, settings, 0.1, 0.1, 0.1)
    counted = CliRunner().invoke(app, ["verdicts", str(path)])
    assert counted.exit_code == 0
    assert "2 not reproduced" in counted.output
    whole = CliRunner().invoke(app, ["verdicts", str(path), "--page"])
    assert whole.output == path.with_suffix(".md").read_text()
    strict = CliRunner().invoke(app, ["verdicts", str(path), "--strict"])
    assert isinstance(strict.exception, UserError)
    assert "not reproduced: block_1, again; " in str(strict.exception)
    reproduced = written(tmp_path, settings, 0.99, 0.98, 0.99)
    assert CliRunner().invoke(app, ["verdicts", str(reproduced), "--strict"]).exit_code == 0
