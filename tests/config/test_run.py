"""A run knows its name, its settings, its statements and its paths."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import ROOT, run_named, settings_of_all
from lowrank_dynamics.config.folder import CLAIMS, FINDINGS

NAMES = [*settings_of_all("laptop"), "paper", "smoke/beyond", "mine/sensitivity/width_64"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_and_its_run_say_the_same(name: str) -> None:
    run = run_named(name, Path("project"))
    assert run.name == name
    assert run.results == Path("project", "results", name)
    assert run.figure("figure_1", "pdf") == Path("project", "figures", name, "figure_1.pdf")
    assert run.page("claims") == Path("project", "results", name, "claims.md")
    assert run.metrics("starts") == Path("project", "results", name, "metrics", "starts.parquet")
    assert run.reference == Path("project", "results", "reference", name)


@pytest.mark.parametrize(
    ("name", "at_paper_scale", "statements", "measured", "alternative"),
    [
        ("laptop", "paper", CLAIMS, "laptop", ""),
        ("laptop/beyond", "paper/beyond", FINDINGS, "laptop/beyond", ""),
        ("laptop/sensitivity/declared", "paper", CLAIMS, "laptop", "declared"),
        (
            "laptop/sensitivity/width_64",
            "paper",
            CLAIMS,
            "laptop/sensitivity/width_64",
            "width_64",
        ),
    ],
)
def test_what_a_run_is_judged_by(
    name: str, at_paper_scale: str, statements: str, measured: str, alternative: str
) -> None:
    run = run_named(name)
    assert run.at_paper_scale.name == at_paper_scale
    assert run.statements == ROOT / "configs" / statements
    assert run.measured.name == measured
    assert run.alternative == alternative


def test_the_studies_of_a_scale_have_its_overrides_and_the_paper_has_none() -> None:
    text = "experiments.case_study.trials=1"
    run = replace(run_named("laptop"), overrides=(text,))
    assert run.beyond.overrides == run.alternatives[0].overrides == (text,)
    assert run.at_paper_scale.overrides == ()
    assert run.settings.experiment("case_study").trials == 1
