"""What a whole run takes, and what is named before it starts because it cannot be done."""

import math
import re

import pytest
import yaml

from conftest import ROOT
from lowrank_dynamics.config import budget
from lowrank_dynamics.config.base import merged
from lowrank_dynamics.config.cards import CARDS, memory, speed
from lowrank_dynamics.config.files import load_settings, requested
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError

PAPER = load_settings("paper", ROOT / "configs")
A_DAY = 1_440
FIVE_AT_ONCE = {"trials_per_job": 5}


def changed(**changes: object) -> Settings:
    """Return the paper's settings of the full model alone, with these values in place of its
    own.
    """
    own = PAPER.experiment("vgg_full_model")
    made = type(own).model_validate(merged(own.model_dump(), changes))
    return PAPER.model_copy(update={"experiments": {"vgg_full_model": made}})


def test_the_paper_s_scale_can_be_run_on_the_paper_s_card() -> None:
    assert PAPER.gpu == "a100"
    assert list(budget.impossible(PAPER, A_DAY)) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (changed(**FIVE_AT_ONCE), r"is expected to take .* days, .*; `trials_per_job: 1`"),
        (
            changed(**FIVE_AT_ONCE),
            r"needs some .* GB of a GPU that has 40.0 GB; `trials_per_job: 1`",
        ),
        (
            changed().on("v100"),
            r"needs some .* GB of a GPU that has 16.0 GB; `samples_at_once: 32`",
        ),
        (
            changed(samples_at_once=128).on("v100"),
            r"of a GPU that has 16.0 GB; `gpu` names one with more memory",
        ),
        (changed().on(1e12), r"is expected to take .*; `gpu` names a faster one"),
    ],
)
def test_what_cannot_be_done_is_named_with_what_helps(settings: Settings, named: str) -> None:
    problems = list(budget.impossible(settings, A_DAY))
    assert all(problem.startswith("vgg_full_model full ") for problem in problems)
    assert any(re.search(named, problem) for problem in problems)


def test_chunks_help_where_a_card_is_small() -> None:
    assert list(budget.impossible(changed(samples_at_once=32).on("v100"), A_DAY)) == []


def test_mixed_precision_helps_where_a_card_has_it() -> None:
    (slow,) = budget.impossible(changed(), longest=A_DAY / 4)
    assert slow.endswith("`training.mixed_precision: true` computes its convolutions in bfloat16")
    assert (
        list(budget.impossible(changed(training={"mixed_precision": True}), longest=A_DAY / 4))
        == []
    )


def test_a_run_takes_no_longer_on_more_machines_and_no_less_than_its_longest_job() -> None:
    jobs = [job for name in PAPER.experiments for job in budget.jobs_of(PAPER, name)]
    total, longest = (
        sum(job.demand.seconds for job in jobs),
        max(job.demand.seconds for job in jobs),
    )
    took = [budget.duration(jobs, machines) for machines in (1, 2, 8, 30, 1_000)]
    assert took[0] == pytest.approx(total)
    assert took == sorted(took, reverse=True)
    assert took[-1] == longest
    assert all(
        seconds <= total / machines + longest
        for seconds, machines in zip(took, (1, 2, 8, 30, 1_000), strict=True)
    )


def test_a_table_fits_a_screen() -> None:
    lines = list(budget.tables(PAPER))
    assert max(map(len, lines)) <= 100
    for name in PAPER.experiments:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    assert max(len(part.splitlines()) for part in "\n".join(lines).split("\n\n")) < 24
    assert "GPU hours" in lines[-1]


def test_a_site_names_its_card_in_one_line() -> None:
    assert requested({"gpu": "h100"}).gpu == "h100"
    assert requested({"gpu": "2e13"}).gpu == requested({"gpu": 20_000_000_000_000}).gpu == 2e13
    assert (speed(2e13, "float32"), memory(2e13)) == (2e13, math.inf)
    for wrong in ("b9000", "-1", 1, "nan", "", "inf", True):
        with pytest.raises(
            UserError,
            match=rf"--config gpu={wrong}: .* is neither operations a second nor one of t4, ",
        ):
            requested({"gpu": wrong})
    assert all(math.isfinite(value) and value > 0 for each in CARDS.values() for value in each)


def test_the_profile_for_slurm_retries_as_often_as_is_counted_on() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert 1 + profile["retries"] == budget.ATTEMPTS


def test_the_document_names_every_card_and_has_the_hours_of_the_settings() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert [name for name in CARDS if f"`{name}`" not in text] == []
    mixed = PAPER.experiment("vgg_full_model")
    mixed = mixed.model_copy(
        update={"training": mixed.training.model_copy(update={"mixed_precision": True})}
    )
    others = {name: each for name, each in PAPER.experiments.items() if name != "vgg_full_model"}
    for settings in (
        PAPER,
        PAPER.model_copy(update={"experiments": others}),
        PAPER.model_copy(update={"experiments": {**others, "vgg_full_model": mixed}}),
    ):
        hours = (
            sum(
                job.demand.seconds
                for name in settings.experiments
                for job in budget.jobs_of(settings, name)
            )
            / 3600
        )
        assert re.search(
            rf"\b{hours:,.{0 if hours > 10 else 1}f} GPU hours", " ".join(text.split())
        )
