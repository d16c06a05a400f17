"""The files in `configs/`: scales, experiments that are like others, the sensitivity study."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, change, refused, run_named, settings_of, settings_of_all
from lowrank_dynamics.config.folder import scales
from lowrank_dynamics.config.loading import load_study
from lowrank_dynamics.config.request import Request, requested, require_once
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.yaml import parsed_value


@pytest.mark.parametrize("content", ["a: [", "[1, 2]", "\x00"])
def test_a_file_that_is_no_settings_is_named(folder: Path, content: str) -> None:
    (folder / "smoke.yaml").write_text(content)
    with refused(r"smoke\.yaml"):
        settings_of("smoke", folder)


@pytest.mark.parametrize(
    ("name", "key"),
    [("paper", "experiments"), ("smoke", "experiments"), ("sensitivity", "declared")],
)
def test_a_duplicate_key_is_refused(folder: Path, name: str, key: str) -> None:
    """YAML would keep the last one and drop the others, a whole block of settings perhaps."""
    (file,) = folder.rglob(f"{name}.yaml")
    lines = file.read_text(encoding="utf-8").count("\n")
    with file.open("a", encoding="utf-8") as end:
        end.write(f"\n{key}:\n  case_study: {{trials: 2}}\n")
    with refused(rf"{name}\.yaml: line {lines + 2}: duplicate key {key}; remove one"):
        settings_of_all("smoke", folder)


@pytest.mark.parametrize(
    ("written", "value"), [("1e-5", 1e-5), ("1.0e-5", 1e-5), ("2E-3", 2e-3), ("1", 1.0)]
)
def test_a_number_may_be_written_as_the_paper_writes_it(
    folder: Path, written: str, value: float
) -> None:
    (folder / "mine.yaml").write_text(
        f"experiments:\n  fashion_mnist:\n    training: {{learning_rate: {written}}}\n"
    )
    settings = settings_of("mine", folder).of_variant("fashion_mnist")
    assert settings.training.learning_rate == value


NO_VALUE = ["2001-99-99", "!!int a", "!!bool a", '!!int ""', 1_000 * "[", "&a [*a]", "{a: 1, a: 2}"]


@pytest.mark.parametrize("text", NO_VALUE, ids=lambda text: text[:12])
def test_a_text_without_a_value_is_refused_wherever_it_stands(folder: Path, text: str) -> None:
    """Its grammar may be that of YAML: of a date, say, that the calendar lacks."""
    with refused("is not valid YAML: |: line 1: duplicate key a; remove one"):
        parsed_value(text)
    run = replace(run_named("laptop"), overrides=(f"experiments.case_study.trials={text}",))
    with refused("is not valid YAML: |: line 1: duplicate key a; remove one"):
        _ = run.settings
    (folder / "smoke.yaml").write_text(f"experiments: {text}\n")
    with refused(r"smoke\.yaml( is not valid YAML: |: line 1: duplicate key a; remove one)"):
        settings_of("smoke", folder)


def test_an_anchor_within_itself_is_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_text("experiments: &all\n  case_study: *all\n")
    with refused(r"mine\.yaml is not valid YAML: an anchor \(&\) is used within itself; write it"):
        settings_of("mine", folder)


def test_a_folder_in_the_place_of_a_file_is_named(folder: Path) -> None:
    (folder / "paper.yaml").unlink()
    (folder / "paper.yaml").mkdir()
    with refused(r"paper\.yaml cannot be read \(Is a directory\)"):
        settings_of("smoke", folder)


@pytest.mark.parametrize("name", ["../evil", "Evil", "e vil", "4k", "a.b", ""])
def test_a_name_that_is_no_part_of_a_path_is_refused(folder: Path, name: str) -> None:
    file = folder / "paper.yaml"
    experiments = yaml.safe_load(file.read_text())["experiments"]
    change(file, "experiments", {name: {"like": "case_study"}} | experiments)
    with refused(r"paper\.yaml: experiments\..*: a name that becomes part of a path must match"):
        settings_of("paper", folder)


def test_an_unknown_scale_or_experiment_is_refused(folder: Path) -> None:
    with refused("choose one of converged, laptop, smoke, paper"):
        settings_of("desktop", folder)
    with refused("choose one of case_study"):
        settings_of("paper").experiment("figure_1")


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, Request(scale="laptop")),
        ({"scale": "smoke", "strict_claims": "true"}, Request(scale="smoke", strict_claims=True)),
        ({"trials": 3, "trials_per_job": "1"}, Request(trials=3, trials_per_job=1)),
        ({"strict_claims": True}, Request(strict_claims=True)),
        ({"allow_unverified_data": "true"}, Request(allow_unverified_data=True)),
        ({"set": "a.b=1"}, Request(set=("a.b=1",))),
        ({"set": "a.b=1 c=[gelu,silu]"}, Request(set=("a.b=1", "c=[gelu,silu]"))),
        ({"set": "a='[gelu, silu]'"}, Request(set=("a=[gelu, silu]",))),
        ({"set": ["a.b=1", "c=x y"]}, Request(set=("a.b=1", "c=x y"))),
    ],
)
def test_config_asks_for_what_it_names(config: dict[str, Any], asked: Request) -> None:
    assert requested(config) == asked


COUNT, PATH = "it must be a whole number above 0", "it must be path=value, such as"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "scales",
            "paper",
            ": unknown key; the keys are scale, strict_claims, allow_unverified_data, ",
        ),
        ("strict_claims", "maybe", "=maybe: choose one of true, false"),
        ("strict_claims", "yes", "=yes: choose one of true, false"),
        ("strict_claims", 1, "=1: choose one of true, false"),
        ("trials", "x", f"=x: {COUNT}"),
        ("trials", 0, f"=0: {COUNT}"),
        ("trials", 1.5, f"=1.5: {COUNT}"),
        ("trials", 3.0, f"=3.0: {COUNT}"),
        ("trials", True, f"=True: {COUNT}"),
        ("trials_per_job", -1, f"=-1: {COUNT}"),
        ("set", 1, f"=1: {PATH}"),
        ("set", {"a": 1}, f"={{'a': 1}}: {PATH}"),
        ("set", [1], f"=[1]: {PATH}"),
    ],
)
def test_config_that_asks_for_what_there_is_not_is_refused(
    key: str, value: object, message: str
) -> None:
    with refused(re.escape(f"--config {key}{message}")):
        requested({key: value})


@pytest.fixture
def mine(folder: Path) -> Path:
    """Return a folder of settings with a scale of the user's own."""
    overlay = {"experiments": {"case_study": {"trials": 2, "network": {"eps": 0.05}}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def test_any_other_file_of_the_folder_is_a_scale(mine: Path) -> None:
    assert scales(mine) == ["converged", "laptop", "mine", "smoke", "paper"]
    assert requested({"scale": "mine"}, mine).scale == "mine"
    studies = {"mine/sensitivity/declared", "mine/sensitivity/width_64"}
    assert settings_of_all("mine", mine).keys() > {"mine", *studies}


def test_a_scale_changes_what_it_names_and_nothing_else(mine: Path) -> None:
    settings, paper = settings_of("mine", mine), settings_of("paper", mine)
    case_study = settings.of_variant("case_study")
    assert (case_study.trials, case_study.network.eps) == (2, 0.05)
    network = case_study.network.model_copy(update={"eps": 0.1})
    as_paper = case_study.model_copy(update={"trials": 10, "network": network})
    assert as_paper == paper.of_variant("case_study")
    for name in paper.experiments.keys() - {"case_study"}:
        assert settings.experiment(name) == paper.experiment(name)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.rank", 3, r"network\.rank must be between 2K = 8 and d = 32, got 3"),
        ("training.steps", "many", "valid integer, got 'many'"),
        ("data.color", 1, "unknown key"),
    ],
)
def test_a_scale_of_the_users_own_is_checked_like_the_others(
    mine: Path, key: str, value: object, message: str
) -> None:
    change(mine / "mine.yaml", f"experiments.case_study.{key}", value)
    with refused(rf"mine\.yaml: experiments\.case_study.*{message}"):
        settings_of("mine", mine)


CHOICES = "choose one of converged, laptop, mine, smoke, paper"


def test_a_scale_without_a_file_is_refused_with_those_there_are(mine: Path) -> None:
    with refused(f"there is no scale 'yours'; {CHOICES}"):
        settings_of("yours", mine)
    with refused(f"--config scale=yours: {CHOICES}"):
        requested({"scale": "yours"}, mine)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("scale", "claims"),
        ("scale", "sensitivity"),
        ("scale", "../configs/mine"),
        ("scale", ""),
        ("study", "mine/paper"),
        ("study", "mine/sensitivity"),
        ("study", "mine/beyond/beyond"),
        ("study", "mine/sensitivity/"),
    ],
)
def test_what_is_no_name_of_a_run_is_refused(mine: Path, kind: str, name: str) -> None:
    with refused(f"there is no {kind}"):
        settings_of(name, mine)


@pytest.mark.parametrize("name", ["data", "reference"])
def test_a_scale_may_not_have_the_name_of_another_folder_of_results(mine: Path, name: str) -> None:
    shutil.copy2(mine / "mine.yaml", mine / f"{name}.yaml")
    assert name not in scales(mine)
    with refused(f"there is no scale '{name}'"):
        settings_of(name, mine)
    with refused(f"--config scale={name}: {CHOICES}"):
        requested({"scale": name}, mine)


@pytest.mark.parametrize("name", ["laptop (1)", "my scale", "a;b", "c++", "-n"])
def test_a_file_whose_name_is_no_part_of_a_command_is_named(mine: Path, name: str) -> None:
    (mine / "mine.yaml").rename(mine / f"{name}.yaml")
    with refused(re.escape(f"{name}.yaml: a scale's name has letters, digits")):
        requested({"scale": "laptop"}, mine)


def test_the_files_of_editors_and_file_systems_are_no_scales(mine: Path) -> None:
    """Emacs links to nowhere while a file is not saved, and macOS keeps notes beside one."""
    known = scales(mine)
    (mine / ".#mine.yaml").symlink_to("somebody@somewhere.1")
    (mine / "._mine.yaml").write_bytes(b"\0")
    assert scales(mine) == known


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--config", "set=a=1", "set=b=2"], "set"),
        (["--config", "scale=smoke", "--cores", "1", "-C", "scale=paper"], "scale"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(words: list[str], key: str) -> None:
    """Snakemake would take the last one."""
    with refused(f"--config {key} is given twice"):
        require_once(words)
    require_once(["--config", "set=a=1 a=2", "scale=smoke", "--", "set=1", "set=2"])


def test_a_scale_may_have_capital_letters(mine: Path) -> None:
    (mine / "mine.yaml").rename(mine / "Mine.yaml")
    assert requested({"scale": "Mine"}, mine).scale == "Mine"
    assert settings_of("Mine", mine).experiment("case_study").trials == 2


def test_like_takes_everything_but_what_is_changed() -> None:
    """Figure `bound` is about the theory setting at several eps: nothing else may differ."""
    paper = settings_of("paper")
    setting, over_eps = paper.experiment("theory_setting"), paper.experiment("theory_over_eps")
    assert list(over_eps.variants) == ["eps_0.1", "eps_0.01", "eps_0.001"]
    assert over_eps.observe == setting.observe.model_copy(update={"block_shares": None})
    same = {"variants": setting.variants, "observe": setting.observe}
    assert over_eps.model_copy(update=same) == setting
    assert over_eps.variants["eps_0.01"] == setting.variants["base"]


def test_defaults_hold_for_experiments_that_are_like_no_other(folder: Path) -> None:
    before = settings_of("paper", folder)
    change(folder / "paper.yaml", "defaults.trials", 7)
    change(folder / "paper.yaml", "defaults.network.eps", 0.05)
    after = settings_of("paper", folder)
    for name, trials, eps in (
        ("case_study", 7, 0.05),
        ("deep_whitened", 7, 0.05),
        ("theory_setting", 7, 0.01),
        ("fashion_mnist", 5, 0.05),
    ):
        settings = after.of_variant(name)
        assert (settings.trials, settings.network.eps) == (trials, eps)
    assert before.experiment("fashion_mnist").observe == after.experiment("fashion_mnist").observe


def test_like_follows_a_change_of_the_other_and_leaves_its_variants(folder: Path) -> None:
    paper = folder / "paper.yaml"
    change(paper, "experiments.case_study.data.separation", 9.0)
    change(paper, "experiments.first_gradient.like", "theory_over_eps")
    settings = settings_of("paper", folder)
    assert settings.experiment("theory_over_eps").data.separation == 9.0
    assert len(settings.experiment("theory_over_eps").variants) == 3
    assert set(settings.experiment("first_gradient").variants) == {"base"}
    assert len(settings.experiment("vgg_heads").variants) == 4
    assert set(settings.experiment("vgg_full_model").variants) == {"base"}


@pytest.mark.parametrize("like", ["case_studdy", "case_study", "", 3, ["theory_setting"], {}])
def test_an_unknown_like_or_one_of_itself_is_refused(folder: Path, like: object) -> None:
    change(folder / "paper.yaml", "experiments.case_study.like", like)
    message = re.escape(f"experiments.case_study.like: {like!r} is not one of ")
    with refused(rf"paper\.yaml: {message}\w+, .*theory_setting"):
        settings_of("laptop", folder)


def test_a_circular_like_is_refused(folder: Path) -> None:
    change(folder / "paper.yaml", "experiments.case_study.like", "theory_over_eps")
    with refused(r"paper\.yaml: experiments\.\w+\.like: 'case_study' is not one of \w+, "):
        settings_of("laptop", folder)


def test_an_overlay_has_no_like_of_its_own(folder: Path) -> None:
    change(folder / "laptop.yaml", "experiments.case_study.like", "theory_setting")
    with refused(r"laptop\.yaml: experiments\.case_study\.like: unknown key"):
        settings_of("laptop", folder)


def test_the_sensitivity_study_has_the_steps_of_laptop_scale() -> None:
    study = load_study(ROOT / "configs")
    study.require_scale("laptop")
    with refused("has the steps of laptop scale, so at paper scale its labels would be wrong"):
        study.require_scale("paper")


def test_every_alternative_changes_its_experiments_and_nothing_else() -> None:
    """In what its numbers depend on: from the declared values, judged by the same trials."""
    declared, study = settings_of("laptop/sensitivity/declared"), load_study(ROOT / "configs")
    for name, alternative in study.alternatives.items():
        settings = settings_of(f"laptop/sensitivity/{name}")
        assert settings.experiments.keys() == alternative.changes.keys()
        for experiment in alternative.changes:
            one, other = settings.experiment(experiment), declared.experiment(experiment)
            assert one.trials == other.trials
            assert (one.variants, one.observe) != (other.variants, other.observe)
    deep_whitened = settings_of("laptop/sensitivity/width_64").of_variant("deep_whitened")
    assert deep_whitened.network.width == 64


def test_the_declared_values_are_judged_by_the_studys_own_trials() -> None:
    declared, laptop = settings_of("laptop/sensitivity/declared"), settings_of("laptop")
    for name, experiment in declared.experiments.items():
        assert experiment.data == laptop.experiment(name).data
        for variant, settings in experiment.variants.items():
            assert settings.training == laptop.experiment(name).variants[variant].training
    assert declared.experiment("case_study").trials == 3


def test_a_mistake_in_the_study_is_named(folder: Path) -> None:
    file = folder / "studies" / "sensitivity.yaml"
    with refused("there is no alternative 'width_9'; choose one of separation_4"):
        settings_of("laptop/sensitivity/width_9", folder)
    change(file, "choices.width.alternatives.64.theory_setting.network.width", 16)
    refusal = r"sensitivity\.yaml: width_64: .*network\.width must be at least"
    with refused(refusal):
        settings_of_all("laptop", folder)
    with refused(refusal):
        settings_of("laptop/sensitivity/width_64", folder)
    change(file, "choices.width.alternatives.64.theory_setting.network.size", 64)
    with refused(r"sensitivity\.yaml: .*network\.size: unknown key"):
        settings_of("laptop/sensitivity/width_64", folder)
    change(file, "declared.case_studdy.trials", 3)
    with refused(r"sensitivity\.yaml: declared: experiments\.case_studdy: unknown key"):
        settings_of_all("laptop", folder)
    change(file, "choices.width.color", "red")
    with refused(r"sensitivity\.yaml: choices\.width\.color: unknown key"):
        load_study(folder)


def test_two_alternatives_of_one_name_are_refused(folder: Path) -> None:
    """They would be one folder."""
    file = folder / "studies" / "sensitivity.yaml"
    width = yaml.safe_load(file.read_text())["choices"]["width"]
    (changes, *_) = width["alternatives"].values()
    change(file, "choices.a_b", {**width, "alternatives": {"c": changes}})
    change(file, "choices.a", {**width, "alternatives": {"b_c": changes}})
    with refused("two alternatives are called a_b_c; rename one of them"):
        load_study(folder)


def test_a_limit_on_trials_keeps_the_settings_and_their_digest() -> None:
    paper = settings_of("paper")
    few = paper.limited(3, 2)
    case_study = few.experiment("case_study")
    assert case_study.shards == [range(2), range(2, 3)]
    assert few.of_variant("case_study").digest == paper.of_variant("case_study").digest
    assert paper.experiment("case_study").shards == [range(10)]
    assert paper.limited(100, 100).experiment("case_study").shards == [range(10)]
    for settings in settings_of_all("laptop").values():
        limited = Request(trials=1).limited(settings)
        assert {experiment.trials for experiment in limited.experiments.values()} == {1}


def test_a_layer_changes_all_variants_except_for_those_that_it_names(mine: Path) -> None:
    change(mine / "mine.yaml", "experiments.theory_over_eps.network.last_eps", 0.5)
    change(mine / "mine.yaml", "experiments.deep_unwhitened.training.learning_rate", 0.5)
    change(mine / "mine.yaml", "experiments.deep_unwhitened.variants.muon.training.steps", 7)
    settings = settings_of("mine", mine)
    over_eps = settings.experiment("theory_over_eps").variants.values()
    assert [variant.network.last_eps for variant in over_eps] == [0.5, 0.5, 0.5]
    assert [variant.network.eps for variant in over_eps] == [0.1, 0.01, 0.001]
    optimizers = settings.experiment("deep_unwhitened").variants
    assert {variant.training.learning_rate for variant in optimizers.values()} == {0.5}
    assert [variant.training.steps for variant in optimizers.values()] == [2000, 2000, 7]


def test_the_last_layer_counts(mine: Path) -> None:
    """That is: variant <- scale <- what all alternatives have <- alternative <- `--config set`."""
    eps = "experiments.theory_over_eps.network.eps"

    def first_eps(name: str, *overrides: str) -> float:
        run = Run.named(name, configs=mine, overrides=overrides)
        return run.settings.experiment("theory_over_eps").variants["eps_0.1"].network.eps

    assert first_eps("mine") == 0.1
    change(mine / "mine.yaml", eps, 0.2)
    assert first_eps("mine") == 0.2
    alternative = "mine/sensitivity/stopping_never"
    sensitivity = mine / "studies" / "sensitivity.yaml"
    change(sensitivity, "declared.theory_over_eps.network", {"eps": 0.3})
    assert first_eps(alternative) == 0.3
    changes = "choices.stopping.alternatives.never.theory_over_eps.network"
    change(sensitivity, changes, {"eps": 0.4})
    assert first_eps(alternative) == 0.4
    assert first_eps(alternative, f"{eps}=0.5") == 0.5
    one = "experiments.theory_over_eps.variants.eps_0.1.network.eps"
    assert first_eps(alternative, f"{eps}=0.5", f"{one}=6e-1") == 0.6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiments.case_study.trials", "'experiments.case_study.trials' is not path=value"),
        ("experiments.case_study.trails=1", "experiments.case_study.trails: unknown key; the key"),
        ("experiments.case_studdy.trials=1", "experiments.case_studdy: unknown key; the keys ar"),
        ("experiments.case_study.trials=0", "experiments.case_study.trials: should be greater t"),
        ("experiments.case_study.training=1", "experiments.case_study.training: must hold keys"),
        ("experiments.case_study.trials=[", r"'\[' is not valid YAML"),
        ("color=red", "color: unknown key; the keys are seed, device, gpu, experiments"),
        ("experiments.fashion_mnist.network.rank=3", "network.rank must be between 2K = 20 and"),
    ],
)
def test_a_wrong_setting_on_the_command_line_is_refused(text: str, message: str) -> None:
    run = replace(run_named("laptop"), overrides=(text,))
    with refused(message) as refusal:
        _ = run.settings
    assert "--config set" in str(refusal.value) or "YAML" in message
