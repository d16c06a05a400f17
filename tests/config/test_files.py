"""The files in `configs/`: any of them may be a scale, experiments that are like others, the
sensitivity study.
"""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, change
from lowrank_dynamics.config.files import (
    Request,
    load_settings,
    load_study,
    load_with_study,
    requested,
    scales,
)
from lowrank_dynamics.errors import UserError


@pytest.mark.parametrize("content", ["a: [", "[1, 2]", "\x00"])
def test_a_file_that_is_no_settings_is_named(folder: Path, content: str) -> None:
    (folder / "smoke.yaml").write_text(content)
    with pytest.raises(UserError, match=r"smoke\.yaml"):
        load_settings("smoke", folder)


@pytest.mark.parametrize("name", ["paper", "smoke", "sensitivity"])
def test_a_key_that_stands_twice_is_refused(folder: Path, name: str) -> None:
    """YAML would keep the last one and drop the others, a whole block of settings perhaps."""
    file = folder / f"{name}.yaml"
    lines = file.read_text(encoding="utf-8").count("\n")
    with file.open("a", encoding="utf-8") as end:
        end.write("\nexperiments:\n  case_study: {trials: 2}\n")
    with pytest.raises(
        UserError,
        match=rf"{name}\.yaml: line {lines + 2}: the key experiments stands there for the sec",
    ):
        load_with_study("smoke", folder)


@pytest.mark.parametrize(
    ("written", "value"), [("1e-5", 1e-5), ("1.0e-5", 1e-5), ("2E-3", 2e-3), ("1", 1.0)]
)
def test_a_number_may_be_written_as_the_paper_writes_it(
    folder: Path, written: str, value: float
) -> None:
    (folder / "mine.yaml").write_text(
        f"experiments:\n  fashion_mnist:\n    training: {{learning_rate: {written}}}\n"
    )
    assert load_settings("mine", folder).experiment("fashion_mnist").training.learning_rate == value


def test_an_anchor_within_itself_is_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_text("experiments: &all\n  case_study: *all\n")
    with pytest.raises(
        UserError, match=r"mine\.yaml has an anchor \(&\) that is used within itself; write it out"
    ):
        load_settings("mine", folder)


def test_a_folder_in_the_place_of_a_file_is_named(folder: Path) -> None:
    (folder / "paper.yaml").unlink()
    (folder / "paper.yaml").mkdir()
    with pytest.raises(UserError, match=r"paper\.yaml cannot be read \(Is a directory\)"):
        load_settings("smoke", folder)


@pytest.mark.parametrize("name", ["../evil", "Evil", "e vil", "4k", "a.b", ""])
def test_a_name_that_is_no_part_of_a_path_is_refused(folder: Path, name: str) -> None:
    change(
        folder / "paper.yaml",
        "experiments",
        {name: {"like": "case_study"}}
        | yaml.safe_load((folder / "paper.yaml").read_text())["experiments"],
    )
    with pytest.raises(
        UserError,
        match=r"paper\.yaml: experiments\..*: a name that becomes part of a path must match",
    ):
        load_settings("paper", folder)


def test_unknown_scales_keys_and_experiments_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="choose one of converged, laptop, smoke, paper"):
        load_settings("desktop", folder)
    with pytest.raises(
        UserError,
        match="scales: unknown key; the keys are scale, strict_claims, allow_unverified_data, ",
    ):
        requested({"scales": "paper"})
    for key, value in (("trials", "x"), ("trials", 0), ("trials_per_job", -1), ("trials", 1.5)):
        with pytest.raises(
            UserError, match=f"--config {key}={value}: it must be a whole number above 0"
        ):
            requested({key: value})
    with pytest.raises(UserError, match="--config strict_claims=maybe: choose one of true, false"):
        requested({"strict_claims": "maybe"})
    assert requested({}) == Request("laptop")
    assert requested({"scale": "smoke", "strict_claims": "true"}) == Request(
        "smoke", strict_claims=True
    )
    assert requested({"trials": 3, "trials_per_job": "1"}) == Request(
        "laptop", trials=3, trials_per_job=1
    )
    assert requested({"strict_claims": True}).strict_claims
    assert requested({"allow_unverified_data": "true"}).allow_unverified_data
    with pytest.raises(UserError, match="choose one of case_study"):
        load_settings("paper", ROOT / "configs").experiment("figure_1")


@pytest.fixture
def mine(folder: Path) -> Path:
    """Return a folder of settings with a scale of the user's own."""
    overlay = {"experiments": {"case_study": {"trials": 2, "network": {"eps": 0.05}}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def test_any_other_file_of_the_folder_is_a_scale(mine: Path) -> None:
    assert scales(mine) == ["converged", "laptop", "mine", "smoke", "paper"]
    assert requested({"scale": "mine"}, mine).scale == "mine"
    settings, paper = load_settings("mine", mine), load_settings("paper", mine)
    own = settings.experiment("case_study")
    assert (own.trials, own.network.eps) == (2, 0.05)
    as_paper = {"trials": 10, "network": own.network.model_copy(update={"eps": 0.1})}
    assert own.model_copy(update=as_paper) == paper.experiment("case_study")
    others = [name for name in paper.experiments if name != "case_study"]
    assert all(settings.experiment(name) == paper.experiment(name) for name in others)
    assert set(load_with_study("mine", mine)) > {
        "mine",
        "mine/sensitivity/declared",
        "mine/sensitivity/width_64",
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.rank", 3, r"network\.rank must be between 2K = 8 and d = 32, is 3"),
        ("training.steps", "many", "valid integer, is 'many'"),
        ("data.color", 1, "unknown key"),
    ],
)
def test_a_scale_of_the_users_own_is_checked_like_the_others(
    mine: Path, key: str, value: object, message: str
) -> None:
    change(mine / "mine.yaml", f"experiments.case_study.{key}", value)
    with pytest.raises(UserError, match=rf"mine\.yaml: experiments\.case_study.*{message}"):
        load_settings("mine", mine)


def test_a_scale_without_a_file_is_refused_with_those_there_are(mine: Path) -> None:
    with pytest.raises(
        UserError,
        match="there is no scale 'yours'; choose one of converged, laptop, mine, smoke, paper",
    ):
        load_settings("yours", mine)
    with pytest.raises(
        UserError, match="--config scale=yours: choose one of converged, laptop, mine, smoke, paper"
    ):
        requested({"scale": "yours"}, mine)
    for name in ("claims", "sensitivity", "mine/paper", "../configs/mine", ""):
        with pytest.raises(UserError, match="there is no scale"):
            load_settings(name, mine)


@pytest.mark.parametrize("name", ["data", "reference"])
def test_a_scale_may_not_have_the_name_of_another_folder_of_results(mine: Path, name: str) -> None:
    shutil.copy2(mine / "mine.yaml", mine / f"{name}.yaml")
    with pytest.raises(UserError, match=f"there is no scale '{name}'"):
        load_settings(name, mine)
    with pytest.raises(
        UserError,
        match=f"--config scale={name}: choose one of converged, laptop, mine, smoke, paper",
    ):
        requested({"scale": name}, mine)
    assert name not in scales(mine)


@pytest.mark.parametrize("name", ["laptop (1)", "my scale", "a;b", "c++", "-n", ".hidden"])
def test_a_file_whose_name_is_no_part_of_a_command_is_named(mine: Path, name: str) -> None:
    (mine / "mine.yaml").rename(mine / f"{name}.yaml")
    with pytest.raises(
        UserError, match=re.escape(f"{name}.yaml: a scale's name has letters, digits")
    ):
        requested({"scale": "laptop"}, mine)


def test_a_scale_may_have_capital_letters(mine: Path) -> None:
    (mine / "mine.yaml").rename(mine / "Mine.yaml")
    assert requested({"scale": "Mine"}, mine).scale == "Mine"
    assert load_settings("Mine", mine).experiment("case_study").trials == 2


def test_like_takes_everything_but_what_is_changed() -> None:
    """Figure `bound` is about the theory setting at several eps: nothing else may differ."""
    paper = load_settings("paper", ROOT / "configs")
    setting, over_eps = paper.experiment("theory_setting"), paper.experiment("theory_over_eps")
    assert list(over_eps.variants) == ["eps_0.1", "eps_0.01", "eps_0.001"]
    assert over_eps.observe == setting.observe.model_copy(update={"block_shares": None})
    same = {"variants": setting.variants, "observe": setting.observe}
    assert over_eps.model_copy(update=same) == setting
    assert over_eps.of_variant("eps_0.01").network == setting.network


def test_defaults_hold_for_experiments_that_are_like_no_other(folder: Path) -> None:
    before = load_settings("paper", folder)
    change(folder / "paper.yaml", "defaults.trials", 7)
    change(folder / "paper.yaml", "defaults.network.eps", 0.05)
    after = load_settings("paper", folder)
    for name in ("case_study", "deep_whitened"):
        assert (after.experiment(name).trials, after.experiment(name).network.eps) == (7, 0.05)
    for name, trials, eps in (("theory_setting", 7, 0.01), ("fashion_mnist", 5, 0.05)):
        assert (after.experiment(name).trials, after.experiment(name).network.eps) == (trials, eps)
    assert before.experiment("fashion_mnist").observe == after.experiment("fashion_mnist").observe


def test_like_follows_a_change_of_the_other_and_leaves_its_variants(folder: Path) -> None:
    paper = folder / "paper.yaml"
    change(paper, "experiments.case_study.data.separation", 9.0)
    change(paper, "experiments.first_gradient.like", "theory_over_eps")
    settings = load_settings("paper", folder)
    assert settings.experiment("theory_over_eps").data.separation == 9.0
    assert len(settings.experiment("theory_over_eps").variants) == 3
    assert set(settings.experiment("first_gradient").variants) == {"base"}
    assert len(settings.experiment("vgg_heads").variants) == 4
    assert set(settings.experiment("vgg_full_model").variants) == {"base"}


@pytest.mark.parametrize(
    "like", ["case_studdy", "case_study", "theory_over_eps", "", 3, ["theory_setting"], {}]
)
def test_an_unknown_or_circular_like_is_refused(folder: Path, like: object) -> None:
    """That is: what there is not, the experiment itself, one that is like it."""
    change(folder / "paper.yaml", "experiments.case_study.like", like)
    with pytest.raises(
        UserError, match=r"paper\.yaml: experiments\.\w+\.like: .* is not one of \w+, "
    ) as refusal:
        load_settings("laptop", folder)
    refused = (
        "'case_study'" if like == "theory_over_eps" else f"experiments.case_study.like: {like!r}"
    )
    assert f"{refused} is not one of " in str(refusal.value)
    assert "theory_setting" in str(refusal.value) or like == "theory_over_eps"


def test_an_overlay_has_no_like_of_its_own(folder: Path) -> None:
    change(folder / "laptop.yaml", "experiments.case_study.like", "theory_setting")
    with pytest.raises(
        UserError, match=r"laptop\.yaml: experiments\.case_study\.like: unknown key"
    ):
        load_settings("laptop", folder)


def test_every_alternative_changes_its_experiments_and_nothing_else() -> None:
    configs = ROOT / "configs"
    laptop, study = load_settings("laptop", configs), load_study(configs)
    for name, (_, _, changes) in study.alternatives.items():
        settings = load_settings(f"laptop/sensitivity/{name}", configs)
        assert settings.experiments.keys() == changes.keys()
        for experiment in changes:
            variants = settings.experiment(experiment).variants
            pairs = [
                [each.of_variant(experiment, variant) for each in (settings, laptop)]
                for variant in variants
            ]
            assert any(own != declared for own, declared in pairs), name
    assert (
        load_settings("laptop/sensitivity/width_64", configs)
        .experiment("deep_whitened")
        .network.width
        == 64
    )


def test_the_declared_values_are_judged_by_the_studys_own_trials() -> None:
    configs = ROOT / "configs"
    declared, laptop = (
        load_settings(name, configs) for name in ("laptop/sensitivity/declared", "laptop")
    )
    load_study(configs).check(laptop.experiments)
    for name, experiment in declared.experiments.items():
        assert experiment.data == laptop.experiment(name).data
        assert experiment.training == laptop.experiment(name).training
    assert declared.experiment("case_study").trials == 3


def test_a_mistake_in_the_study_is_named(folder: Path) -> None:
    with pytest.raises(
        UserError, match="there is no alternative 'width_9'; choose one of separation_4"
    ):
        load_settings("laptop/sensitivity/width_9", folder)
    change(
        folder / "sensitivity.yaml",
        "choices.width.alternatives.64.theory_setting.network.width",
        16,
    )
    for load in (
        load_with_study,
        lambda scale, configs: load_settings(f"{scale}/sensitivity/width_64", configs),
    ):
        with pytest.raises(
            UserError, match=r"sensitivity\.yaml: .*network\.width must be at least"
        ):
            load("laptop", folder)
    change(
        folder / "sensitivity.yaml", "choices.width.alternatives.64.theory_setting.network.size", 64
    )
    with pytest.raises(UserError, match=r"sensitivity\.yaml: .*network\.size: unknown key"):
        load_settings("laptop/sensitivity/width_64", folder)
    change(folder / "sensitivity.yaml", "experiments.case_studdy.trials", 3)
    with pytest.raises(
        UserError, match=r"sensitivity\.yaml: experiments\.case_studdy: there is no such experiment"
    ):
        load_with_study("laptop", folder)
    change(folder / "sensitivity.yaml", "choices.width.color", "red")
    with pytest.raises(UserError, match=r"sensitivity\.yaml: choices\.width\.color: unknown key"):
        load_study(folder)


def test_a_limit_on_trials_keeps_the_settings_and_their_digest() -> None:
    paper = load_settings("paper", ROOT / "configs")
    few = paper.limited(3, 2)
    case_study = few.experiment("case_study")
    assert case_study.shards == [range(2), range(2, 3)]
    assert few.of_variant("case_study").digest == paper.of_variant("case_study").digest
    assert paper.experiment("case_study").shards == [range(10)]
    assert paper.limited(100, 100).experiment("case_study").shards == [range(10)]
    for settings in load_with_study("laptop", ROOT / "configs", trials=1).values():
        assert {each.trials for each in settings.experiments.values()} == {1}
