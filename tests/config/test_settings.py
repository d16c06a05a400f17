"""The settings: what is refused, and with which words."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from conftest import ROOT, SCALES, change
from lowrank_dynamics.config import registries
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.errors import UserError

REFUSED = [
    ("experiments.case_study.training.learning_rate", -1.0, "greater than 0, is -1.0"),
    ("experiments.case_study.training.learning_rate", 0.0, "greater than 0, is 0.0"),
    ("experiments.case_study.training.steps", "many", "valid integer, is 'many'"),
    ("experiments.case_study.training.steps", 10**20, "less than or equal to 1000000000, is 1000"),
    ("experiments.case_study.samples_at_once", -1, "greater than 0, is -1"),
    ("experiments.case_study.samples_at_once", 100, "samples_at_once must be null for rrelu"),
    ("experiments.case_study.trials_per_job", 0, "greater than 0, is 0"),
    (
        "experiments.case_study.trials_per_job",
        11,
        "trials_per_job must be at most trials = 5, is 11",
    ),
    ("experiments.case_study.trials", 10**12, "less than or equal to 1000, is 1000000000000"),
    (
        "experiments.case_study.training.learning_rate",
        1e308,
        "less than or equal to 1000000, is 1e+308",
    ),
    ("experiments.case_study.training.steps", True, "valid integer, is True"),
    ("experiments.case_study.data.samples", 10, "at least dimension = 32"),
    (
        "experiments.case_study.data.classes",
        16,
        "data.classes must be below dimension / 2 = 16, is 16",
    ),
    (
        "experiments.theory_setting.network.width",
        31,
        "network.width must be at least the input dimension 32, is 31",
    ),
    ("experiments.case_study.training.learning_rate", float("inf"), "finite number"),
    ("experiments.case_study.activations", ["elu", "elu"], "named once"),
    (
        "experiments.case_study.network.rank",
        3,
        "network.rank must be between 2K = 8 and d = 32, is 3",
    ),
    ("experiments.case_study.dtype", "float32", "dtype must be float64 for clusters"),
    ("experiments.fashion_mnist.network.train_last_layer", False, "must be true"),
    (
        "experiments.fashion_mnist.network.rank",
        19,
        "network.rank must be between 2K = 20 and d = 784, is 19",
    ),
    (
        "experiments.fashion_mnist.data.training_images",
        60010,
        "less than or equal to 60000, is 60010",
    ),
    ("experiments.fashion_mnist.data.training_images", 15, "multiple of 10, is 15"),
    ("experiments.deep_whitened.observe.block_shares", 3, "observe.loss must be a multiple"),
    ("experiments.deep_whitened.activations", ["swish"], "'swish' is not one of elu, gelu"),
    ("experiments.case_study.data.color", 1, "unknown key"),
    ("experiments.case_study.training", 1, "must hold keys"),
    ("experiments.case_studdy.trials", 1, "unknown key; the keys are case_study"),
    (
        "experiments.case_study.training.optimizer",
        "sgd",
        "'sgd' is not one of gradient_descent, sgd_momentum",
    ),
    (
        "experiments.theory_setting.training.optimizer",
        "adam",
        "stop_near_linear_fit must be null except for",
    ),
    (
        "experiments.case_study.observe.gradient",
        1,
        "observe.gradient must be null except for depth 2",
    ),
    (
        "experiments.case_study.training.batch_size",
        2000,
        "must be at most the 1000 samples, is 2000",
    ),
    ("experiments.fashion_mnist.network.rotation", 91.0, "less than or equal to 90, is 91.0"),
    ("experiments.case_study.network.rotation", 5.0, "network.rotation must be 0.0 unless"),
    (
        "experiments.case_study.training.weight_decay",
        0.1,
        "weight_decay must be 0.0 for gradient_descent",
    ),
    (
        "experiments.vgg_heads.data.source",
        "imagenet",
        "'imagenet' is not one of clusters, convolved, fashion_mnist",
    ),
    ("experiments.vgg_heads.data.size", 31, "size must be at least 32 for vgg16, is 31"),
    ("experiments.vgg_heads.data.convolutions", "vgg19", "'vgg19' is not one of vgg16, tiny"),
    ("experiments.vgg_heads.data.fine_tuned", 1, "valid boolean, is 1"),
    (
        "experiments.vgg_heads.network.rank",
        600,
        "network.rank must be between 2K = 20 and d = 512, is 600",
    ),
    (
        "experiments.vgg_heads.network.first_batch",
        5010,
        "first_batch must be at most the 5000 samples, is 5010",
    ),
    (
        "experiments.vgg_full_model.observe.singular_structure",
        5,
        "only loss may be measured where convolutions are",
    ),
    (
        "experiments.vgg_full_model.training.optimizer",
        "muon",
        "neither muon nor stop_near_linear_fit may be used",
    ),
    (
        "experiments.vgg_full_model.dtype",
        "float64",
        "dtype must be float32 where convolutions are trained, is float64",
    ),
    (
        "experiments.vgg_heads.parameterizations",
        ["full", "random"],
        "the experiment has no 's_big'",
    ),
    (
        "experiments.vgg_heads.variants.4k.parameterizations",
        ["s_big", "s_big"],
        "each may be named once",
    ),
    (
        "experiments.vgg_heads.variants.4k.parameterizations",
        ["low"],
        "'low' is not one of full, s_big, random",
    ),
    (
        "experiments.vgg_heads.variants.4k.network.rank",
        2000,
        "variants.4k: network.rank must be between",
    ),
    (
        "experiments.deep_unwhitened.variants.adam.training.optimizer",
        "adamw",
        "variants.adam.training.optimizer:",
    ),
    (
        "experiments.deep_unwhitened.variants.adam.training.momentum",
        0.9,
        "unknown key; the keys are optimizer",
    ),
]


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
    with pytest.raises(
        UserError, match=r"paper\.yaml: experiments\.deep_whitened\.training\.learning_rate"
    ):
        load_settings("laptop", folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    content = yaml.safe_load((folder / "paper.yaml").read_text())
    del content["experiments"]["case_study"]["network"]["depth"]
    (folder / "paper.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"experiments\.case_study\.network\.depth: missing key"):
        load_settings("paper", folder)


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_frozen_and_keep_the_papers_step(scale: str) -> None:
    """A smaller scale changes N, and eta with it: eta N is the paper's 10^-5 times 50,000."""
    settings = load_settings(scale, ROOT / "configs")
    experiment = settings.experiment("fashion_mnist")
    assert experiment.training.learning_rate * experiment.data.training_images == pytest.approx(0.5)
    with pytest.raises(ValidationError):
        experiment.trials = 7


def test_the_digest_follows_its_own_experiment_only(folder: Path) -> None:
    before = load_settings("laptop", folder)
    change(folder / "laptop.yaml", "experiments.case_study.training.steps", 40)
    after = load_settings("laptop", folder)
    assert before.of_variant("case_study").digest != after.of_variant("case_study").digest
    assert before.of_variant("fashion_mnist").digest == after.of_variant("fashion_mnist").digest


def test_heads_too_narrow_for_what_is_observed_are_refused(folder: Path) -> None:
    """Only heads may be narrower than their inputs, and only full ones have no rank."""
    heads: dict[str, object] = {"parameterizations": ["full"], "variants": {"base": {}}}
    for width, observed, message in (
        (
            20,
            {"singular_structure": 100},
            "singular_structure must be null unless network.width is above 2K = 20",
        ),
        (10, {"start_eps": [0.1]}, "start_eps must be empty unless network.width is above K = 10"),
    ):
        for key, value in (heads | {"network.width": width, "network.rank": None}).items():
            change(folder / "paper.yaml", f"experiments.vgg_heads.{key}", value)
        change(folder / "paper.yaml", "experiments.vgg_heads.observe", observed)
        with pytest.raises(UserError, match=message):
            load_settings("paper", folder)


def test_a_cell_depends_on_the_entries_that_it_uses_and_on_no_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load_settings("smoke", ROOT / "configs")
    heads, cell = "vgg_heads", settings.cells("vgg_heads")[0]
    before = settings.registered(heads, cell)
    gelu, tiny = registries.ACTIVATIONS["gelu"], registries.CONVOLUTIONS["tiny"]
    monkeypatch.setitem(registries.ACTIVATIONS, "gelu", gelu._replace(label="another name"))
    sgd = registries.OPTIMIZERS["sgd_momentum"]
    monkeypatch.setitem(registries.OPTIMIZERS, "sgd_momentum", sgd._replace(products=1))
    assert settings.registered(heads, cell) == before
    assert "gelu: another name" in registries.labels()
    monkeypatch.setitem(
        registries.CONVOLUTIONS, "tiny", tiny._replace(layers=(16, registries.POOL))
    )
    assert settings.registered(heads, cell) != before


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
    assert (
        adam.model_copy(update={"training": experiment.training, "variants": experiment.variants})
        == experiment
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trials", r"variants\.adam\.trials: unknown key"),
        ("training.momentum", r"variants\.adam\.training\.momentum: unknown key"),
    ],
)
def test_a_variant_that_changes_something_else_is_refused(
    folder: Path, key: str, message: str
) -> None:
    change(folder / "paper.yaml", f"experiments.deep_unwhitened.variants.adam.{key}", 1)
    with pytest.raises(UserError, match=message):
        load_settings("paper", folder)


def test_variants_have_cells_and_digests_of_their_own(folder: Path) -> None:
    before = load_settings("laptop", folder)
    assert {"elu-full-sgd_momentum", "gelu-full-muon"} <= {
        cell.name for cell in before.cells("deep_unwhitened")
    }
    change(
        folder / "laptop.yaml",
        "experiments.deep_unwhitened.variants.adam.training.learning_rate",
        0.002,
    )
    after = load_settings("laptop", folder)
    assert (
        before.of_variant("deep_unwhitened", "adam").digest
        != after.of_variant("deep_unwhitened", "adam").digest
    )
    assert (
        before.of_variant("deep_unwhitened", "muon").digest
        == after.of_variant("deep_unwhitened", "muon").digest
    )


def test_every_declared_value_has_its_reason() -> None:
    """The mark is followed by words, and the values that the paper states carry none."""
    text = (ROOT / "configs" / "paper.yaml").read_text()
    for line in text.splitlines():
        if "[declared]" in line and not line.startswith("#"):
            assert len(line.split("[declared]")[1].strip()) > 10, line
    stated = ["dimension: 32  # d\n", "steps: 1500  # epochs", "eps: 0.1  # as stated"]
    assert all(value in text for value in stated)
