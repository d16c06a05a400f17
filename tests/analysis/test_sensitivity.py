"""The sensitivity study: verdicts at the declared values against those of the alternatives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, refused, run_named
from lowrank_dynamics.analysis import sensitivity
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import claims_table
from lowrank_dynamics.config.loading import load_study
from lowrank_dynamics.figures.draw import draw
from lowrank_dynamics.report.rendering import sensitivity_page
from lowrank_dynamics.storage import tables

STUDY = load_study(ROOT / "configs")
RUN = run_named("laptop/sensitivity/head_last_layer_1")
NOT_RUN = claims_table(load_claims(RUN.statements), {}, RUN.settings, RUN)


def verdicts(**by_claim: str) -> pd.DataFrame:
    """Return a table of verdicts with two cells a claim, the second of which decides."""
    rows = [
        (claim, decided, cell, mean, mean, verdict)
        for claim, decided in by_claim.items()
        for cell, mean, verdict in (("ELU", 0.99, "reproduced"), ("GELU", 0.5, decided))
    ]
    table = pd.DataFrame(
        rows, columns=["claim", "claim_verdict", "cell", "mean", "worst", "verdict"]
    )
    judged = {"over_trials": "mean", "low": 0.9, "high": np.inf, "censored": False}
    judged |= {"weaker_low": 0.5, "weaker_high": np.inf}
    return table.assign(figure="figure_3", deviation=0.01, error=0.01, trials=3, **judged)


@pytest.fixture
def compared() -> pd.DataFrame:
    declared = verdicts(block_1="reproduced", follows="partly reproduced", elsewhere="reproduced")
    alternatives = {
        "separation_4": verdicts(block_1="not reproduced", follows="partly reproduced"),
        "width_64": verdicts(block_1="reproduced"),
        "head_last_layer_1": NOT_RUN,
    }
    return sensitivity.compare(declared, alternatives, STUDY)


def test_each_alternative_is_compared_with_the_declared_values(compared: pd.DataFrame) -> None:
    varied = sensitivity.changed_verdicts(compared).set_index(["choice", "value", "claim"])
    assert varied["stands"].to_dict() == {
        ("separation", "4", "block_1"): False,
        ("separation", "4", "follows"): True,
        ("width", "64", "block_1"): True,
    }
    assert "elsewhere" not in set(compared["claim"])
    assert set(compared["cell"]) == {"GELU"}  # the weakest


def test_the_page_says_what_breaks_and_what_stands(compared: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "sensitivity.parquet"
    table = tables.Table(compared, {"unverified": ["CIFAR-10"]})
    tables.write(table, sensitivity_page(table, run_named("laptop")), path)
    page = path.with_suffix(".md").read_text()
    assert "**Unverified data: CIFAR-10.**" in page
    assert tables.read(path, sensitivity.COLUMNS).unverified == ["CIFAR-10"]
    assert "2 of 3 verdicts are those at the declared values." in page
    assert "| block_1 | reproduced | **not reproduced** | separation 4 |" in page
    assert "## Separation of the clusters (declared: 7)" in page
    declared, alternative = (
        "**reproduced**, 0.5 ± 0.01 (GELU)",
        "**not reproduced**, 0.5 ± 0.01 (GELU)",
    )
    assert f"| block_1 | ≥ 0.9 (partly: ≥ 0.5) | {declared} | {alternative} |" in page
    pd.testing.assert_frame_equal(tables.read(path, sensitivity.COLUMNS).rows, compared)
    draw("sensitivity", [path], tmp_path / "figure")
    assert "UNVERIFIED DATA: CIFAR-10" in (tmp_path / "figure.svg").read_text()


def test_an_alternative_of_no_study_is_named() -> None:
    with refused("the sensitivity study has no alternative 'width_65', only separation_4"):
        sensitivity.compare(NOT_RUN, {"width_65": NOT_RUN}, STUDY)


def test_another_file_is_refused(compared: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "sensitivity.parquet"
    with refused("not a readable table of verdicts"):
        tables.read(path, sensitivity.COLUMNS)
    tables.write(tables.Table(compared.drop(columns="choice"), {}), "", path)
    with refused("is not a table of verdicts of schema 2: it lacks choice"):
        tables.read(path, sensitivity.COLUMNS)
