"""The settings: what is refused, and with which words."""

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from conftest import ROOT
from lowrank_dynamics.config.files import load_settings, load_study, load_with_study, requested, scales
from lowrank_dynamics.errors import UserError

REFUSED = [
    ("experiments.case_study.training.learning_rate", -1.0, "greater than 0, is -1.0"),
    ("experiments.case_study.training.learning_rate", 0.0, "greater than 0, is 0.0"),
    ("experiments.case_study.training.steps", "many", "valid integer, is 'many'"),
    ("experiments.case_study.training.steps", True, "valid integer, is True"),
    ("experiments.case_study.data.samples", 10, "at least dimension = 32"),
    ("experiments.case_study.data.classes", 16, "data.classes must be below dimension / 2 = 16, is 16"),
    ("experiments.theory_setting.network.width", 31, "network.width must be at least the input dimension 32, is 31"),
    ("experiments.case_study.training.learning_rate", float("inf"), "finite number"),
    ("experiments.case_study.activations", ["elu", "elu"], "named once"),
    ("experiments.case_study.network.rank", 3, "network.rank must be between 2K = 8 and d = 32, is 3"),
    ("experiments.case_study.dtype", "float32", "dtype must be float64 for clusters"),
    ("experiments.fashion_mnist.network.train_last_layer", False, "must be true"),
    ("experiments.fashion_mnist.network.rank", 19, "network.rank must be between 2K = 20 and d = 784, is 19"),
    ("experiments.fashion_mnist.data.training_images", 60010, "less than or equal to 60000, is 60010"),
    ("experiments.fashion_mnist.data.training_images", 15, "multiple of 10, is 15"),
    ("experiments.deep_whitened.observe.block_shares", 3, "observe.loss must be a multiple"),
    ("experiments.deep_whitened.activations", ["swish"], "'swish' is not one of elu, gelu"),
    ("experiments.case_study.data.color", 1, "unknown key"),
    ("experiments.case_study.training", 1, "must hold keys"),
    ("experiments.case_studdy.trials", 1, "unknown key; the keys are case_study"),
    ("experiments.case_study.training.optimizer", "sgd", "'sgd' is not one of gradient_descent, sgd_momentum"),
    ("experiments.theory_setting.training.optimizer", "adam", "stop_near_linear_fit must be null except for"),
    ("experiments.case_study.observe.gradient", 1, "observe.gradient must be null except for depth 2"),
    ("experiments.case_study.training.batch_size", 2000, "must be at most the 1000 samples, is 2000"),
    ("experiments.fashion_mnist.network.rotation", 91.0, "less than or equal to 90, is 91.0"),
    ("experiments.case_study.network.rotation", 5.0, "network.rotation must be 0.0 unless"),
    ("experiments.case_study.training.weight_decay", 0.1, "weight_decay must be 0.0 for gradient_descent"),
    ("experiments.vgg_heads.data.size", 31, "size must be at least 32 for vgg16, is 31"),
    ("experiments.vgg_heads.data.convolutions", "vgg19", "'vgg19' is not one of vgg16, tiny"),
    ("experiments.vgg_heads.data.fine_tuned", 1, "valid boolean, is 1"),
    ("experiments.vgg_heads.network.rank", 600, "network.rank must be between 2K = 20 and d = 512, is 600"),
    (
        "experiments.vgg_heads.network.first_batch",
        5010,
        "network.first_batch must be at most the 5000 samples, is 5010",
    ),
    ("experiments.vgg_full_model.observe.singular_structure", 5, "only loss may be measured where convolutions are"),
    ("experiments.vgg_full_model.training.optimizer", "muon", "neither muon nor stop_near_linear_fit may be used"),
    ("experiments.vgg_full_model.dtype", "float64", "dtype must be float32 where convolutions are trained, is float64"),
    ("experiments.vgg_heads.parameterizations", ["full", "random"], "the experiment has no 's_big'"),
    ("experiments.vgg_heads.variants.4k.parameterizations", ["s_big", "s_big"], "each may be named once"),
    ("experiments.vgg_heads.variants.4k.parameterizations", ["low"], "'full', 's_big' or 'random'"),
    ("experiments.vgg_heads.variants.4k.network.rank", 2000, "variants.4k: network.rank must be between"),
    ("experiments.deep_unwhitened.variants.adam.training.optimizer", "adamw", "variants.adam.training.optimizer:"),
    ("experiments.deep_unwhitened.variants.adam.training.momentum", 0.9, "unknown key; the keys are optimizer"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "configs", tmp_path / "configs"))


def change(file: Path, key: str, value: object) -> None:
    content = yaml.safe_load(file.read_text())
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(("key", "value", "message"), REFUSED)
def test_a_wrong_value_is_refused_with_file_key_and_what_is_right(
    folder: Path, key: str, value: object, message: str
) -> None:
    change(folder / "laptop.yaml", key, value)
    with pytest.raises(UserError) as refusal:
        load_settings("laptop", folder)
    sentence = str(refusal.value)
    assert message in sentence
    assert "laptop.yaml" in sentence or "paper.yaml" in sentence
    assert all(part in sentence for part in key.split(".")[:2])


def test_the_file_at_fault_is_named(folder: Path) -> None:
    change(folder / "paper.yaml", "experiments.deep_whitened.training.learning_rate", -1.0)
    with pytest.raises(UserError, match=r"paper\.yaml: experiments\.deep_whitened\.training\.learning_rate"):
        load_settings("laptop", folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    content = yaml.safe_load((folder / "paper.yaml").read_text())
    del content["experiments"]["case_study"]["network"]["depth"]
    (folder / "paper.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"experiments\.case_study\.network\.depth: missing key"):
        load_settings("paper", folder)


@pytest.mark.parametrize("content", ["a: [", "[1, 2]", "\x00"])
def test_a_file_that_is_no_settings_is_named(folder: Path, content: str) -> None:
    (folder / "smoke.yaml").write_text(content)
    with pytest.raises(UserError, match=r"smoke\.yaml"):
        load_settings("smoke", folder)


def test_unknown_scales_keys_and_experiments_are_refused() -> None:
    with pytest.raises(UserError, match="choose one of laptop, smoke, paper"):
        load_settings("desktop", ROOT / "configs")
    with pytest.raises(
        UserError, match="--config scales: unknown key; the keys are scale, strict_claims, allow_unverified_data"
    ):
        requested({"scales": "paper"})
    with pytest.raises(UserError, match="--config strict_claims=maybe: choose one of true, false"):
        requested({"strict_claims": "maybe"})
    assert requested({}) == ("laptop", False, False)
    assert requested({"scale": "smoke", "strict_claims": "true"}) == ("smoke", True, False)
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
    assert scales(mine) == ["laptop", "mine", "smoke", "paper"]
    assert requested({"scale": "mine"}, mine).scale == "mine"
    settings, paper = load_settings("mine", mine), load_settings("paper", mine)
    own = settings.experiment("case_study")
    assert (own.trials, own.network.eps) == (2, 0.05)
    as_paper = {"trials": 10, "network": own.network.model_copy(update={"eps": 0.1})}
    assert own.model_copy(update=as_paper) == paper.experiment("case_study")
    others = [name for name in paper.experiments if name != "case_study"]
    assert all(settings.experiment(name) == paper.experiment(name) for name in others)
    assert set(load_with_study("mine", mine)) > {"mine", "mine/sensitivity/declared", "mine/sensitivity/width_64"}


def test_a_scale_of_the_users_own_is_checked_like_the_others(mine: Path) -> None:
    for key, value, message in (
        ("experiments.case_study.network.rank", 3, "network.rank must be between 2K = 8 and d = 32, is 3"),
        ("experiments.case_study.training.steps", "many", "valid integer, is 'many'"),
        ("experiments.case_study.data.color", 1, "unknown key"),
    ):
        before = (mine / "mine.yaml").read_text()
        change(mine / "mine.yaml", key, value)
        with pytest.raises(UserError) as refusal:
            load_settings("mine", mine)
        sentence = str(refusal.value)
        assert message in sentence
        assert "mine.yaml" in sentence
        assert "case_study" in sentence
        (mine / "mine.yaml").write_text(before)
    load_settings("mine", mine)


def test_a_scale_without_a_file_is_refused_with_those_there_are(mine: Path) -> None:
    with pytest.raises(UserError, match="there is no scale 'yours'; choose one of laptop, mine, smoke, paper"):
        load_settings("yours", mine)
    with pytest.raises(UserError, match="--config scale=yours: choose one of laptop, mine, smoke, paper"):
        requested({"scale": "yours"}, mine)
    for name in ("claims", "sensitivity", "mine/paper", "../configs/mine", ""):
        with pytest.raises(UserError, match="there is no scale"):
            load_settings(name, mine)


@pytest.mark.parametrize("name", ["data", "reference"])
def test_a_scale_may_not_have_the_name_of_another_folder_of_results(mine: Path, name: str) -> None:
    shutil.copy2(mine / "mine.yaml", mine / f"{name}.yaml")
    with pytest.raises(UserError, match=f"there is no scale '{name}'"):
        load_settings(name, mine)
    with pytest.raises(UserError, match=f"--config scale={name}: choose one of laptop, mine, smoke, paper"):
        requested({"scale": name}, mine)
    assert name not in scales(mine)


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


@pytest.mark.parametrize("like", ["case_studdy", "case_study", "theory_over_eps", "", 3, ["theory_setting"], {}])
def test_an_unknown_or_circular_like_is_refused(folder: Path, like: object) -> None:
    """That is: what there is not, the experiment itself, one that is like it."""
    change(folder / "paper.yaml", "experiments.case_study.like", like)
    with pytest.raises(UserError, match=r"paper\.yaml: experiments\.\w+\.like: .* is not one of \w+, ") as refusal:
        load_settings("laptop", folder)
    sentence = str(refusal.value)
    if like == "theory_over_eps":
        assert "'case_study' is not one of" in sentence
    else:
        assert f"experiments.case_study.like: {like!r} is not one of " in sentence
        assert "theory_setting" in sentence


def test_an_overlay_has_no_like_of_its_own(folder: Path) -> None:
    change(folder / "laptop.yaml", "experiments.case_study.like", "theory_setting")
    with pytest.raises(UserError, match=r"laptop\.yaml: experiments\.case_study\.like: unknown key"):
        load_settings("laptop", folder)


@pytest.mark.parametrize("scale", scales(ROOT / "configs"))
def test_settings_are_frozen_and_keep_the_papers_step(scale: str) -> None:
    """A smaller scale changes N, and eta with it: eta N is the paper's 10^-5 times 50,000."""
    settings = load_settings(scale, ROOT / "configs")
    experiment = settings.experiment("fashion_mnist")
    assert experiment.training.learning_rate * experiment.data.training_images == pytest.approx(0.5)
    with pytest.raises(ValidationError):
        experiment.trials = 7


def test_the_digest_follows_its_own_experiment_only(folder: Path) -> None:
    before = load_settings("laptop", folder)
    change(folder / "laptop.yaml", "experiments.case_study.trials", 4)
    after = load_settings("laptop", folder)
    assert before.of_variant("case_study").digest != after.of_variant("case_study").digest
    assert before.of_variant("fashion_mnist").digest == after.of_variant("fashion_mnist").digest


def test_a_further_activation_leaves_the_other_cells_as_they_are(folder: Path) -> None:
    before = load_settings("laptop", folder)
    change(folder / "laptop.yaml", "experiments.deep_whitened.activations", ["elu", "gelu", "silu"])
    after = load_settings("laptop", folder)
    assert before.of_variant("deep_whitened").digest == after.of_variant("deep_whitened").digest
    assert len(after.cells("deep_whitened")) == len(before.cells("deep_whitened")) + 1


def test_a_variant_changes_just_what_it_names() -> None:
    experiment = load_settings("paper", ROOT / "configs").experiment("deep_unwhitened")
    adam = experiment.of_variant("adam")
    assert (adam.training.optimizer, adam.training.learning_rate) == ("adam", 0.001)
    assert adam.model_copy(update={"training": experiment.training, "variants": experiment.variants}) == experiment


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trials", r"variants\.adam\.trials: unknown key"),
        ("training.momentum", r"variants\.adam\.training\.momentum: unknown key"),
    ],
)
def test_a_variant_that_changes_something_else_is_refused(folder: Path, key: str, message: str) -> None:
    change(folder / "paper.yaml", f"experiments.deep_unwhitened.variants.adam.{key}", 1)
    with pytest.raises(UserError, match=message):
        load_settings("paper", folder)


def test_variants_have_cells_and_digests_of_their_own(folder: Path) -> None:
    before = load_settings("laptop", folder)
    names = {cell.name for cell in before.cells("deep_unwhitened")}
    assert {"elu-full-sgd_momentum", "gelu-full-muon"} <= names
    change(folder / "laptop.yaml", "experiments.deep_unwhitened.variants.adam.training.learning_rate", 0.002)
    after = load_settings("laptop", folder)
    assert before.of_variant("deep_unwhitened", "adam").digest != after.of_variant("deep_unwhitened", "adam").digest
    assert before.of_variant("deep_unwhitened", "muon").digest == after.of_variant("deep_unwhitened", "muon").digest


def test_every_alternative_changes_its_experiments_and_nothing_else() -> None:
    configs = ROOT / "configs"
    laptop, study = load_settings("laptop", configs), load_study(configs)
    for name, (_, _, changes) in study.alternatives.items():
        settings = load_settings(f"laptop/sensitivity/{name}", configs)
        assert settings.experiments.keys() == changes.keys()
        for experiment in changes:
            variants = settings.experiment(experiment).variants
            assert any(
                settings.of_variant(experiment, v).digest != laptop.of_variant(experiment, v).digest for v in variants
            ), name
    assert load_settings("laptop/sensitivity/width_64", configs).experiment("deep_whitened").network.width == 64


def test_the_declared_values_are_judged_by_the_studys_own_trials() -> None:
    configs = ROOT / "configs"
    declared, laptop = (load_settings(name, configs) for name in ("laptop/sensitivity/declared", "laptop"))
    load_study(configs).check(laptop.experiments)
    for name, experiment in declared.experiments.items():
        assert experiment.data == laptop.experiment(name).data
        assert experiment.training == laptop.experiment(name).training
    assert declared.experiment("case_study").trials == 3


def test_a_mistake_in_the_study_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match="there is no alternative 'width_9'; choose one of separation_4"):
        load_settings("laptop/sensitivity/width_9", folder)
    change(folder / "sensitivity.yaml", "choices.width.alternatives.64.theory_setting.network.width", 16)
    for load in (load_with_study, lambda scale, configs: load_settings(f"{scale}/sensitivity/width_64", configs)):
        with pytest.raises(UserError, match=r"sensitivity\.yaml: .*network\.width must be at least"):
            load("laptop", folder)
    change(folder / "sensitivity.yaml", "choices.width.alternatives.64.theory_setting.network.size", 64)
    with pytest.raises(UserError, match=r"sensitivity\.yaml: .*network\.size: unknown key"):
        load_settings("laptop/sensitivity/width_64", folder)
    change(folder / "sensitivity.yaml", "experiments.case_studdy.trials", 3)
    with pytest.raises(UserError, match=r"sensitivity\.yaml: experiments\.case_studdy: there is no such experiment"):
        load_with_study("laptop", folder)
    change(folder / "sensitivity.yaml", "choices.width.color", "red")
    with pytest.raises(UserError, match=r"sensitivity\.yaml: choices\.width\.color: unknown key"):
        load_study(folder)


def test_every_declared_value_has_its_reason() -> None:
    """The mark is followed by words, and the values that the paper states carry none."""
    text = (ROOT / "configs" / "paper.yaml").read_text()
    for line in text.splitlines():
        if "[declared]" in line and not line.startswith("#"):
            assert len(line.split("[declared]")[1].strip()) > 10, line
    stated = ["dimension: 32  # d\n", "steps: 1500  # epochs", "eps: 0.1  # as stated"]
    assert all(value in text for value in stated)
