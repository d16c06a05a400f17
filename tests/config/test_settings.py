"""The settings: what is refused, and with which words."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from conftest import ROOT, SCALES, change, refused, settings_of
from lowrank_dynamics.config.checks import NOT_WHERE_TRIALS_STOP
from lowrank_dynamics.config.data import PixelData
from lowrank_dynamics.config.registries import (
    ACTIVATIONS,
    CONVOLUTIONS,
    OBSERVABLES,
    OPTIMIZERS,
    POOL,
    labels,
)
from lowrank_dynamics.config.settings import Settings

REFUSED = [
    ("case_study.training.learning_rate", -1.0, "greater than 0, got -1.0"),
    ("case_study.training.learning_rate", 0.0, "greater than 0, got 0.0"),
    ("case_study.training.steps", "many", "valid integer, got 'many'"),
    ("case_study.training.steps", 10**20, "less than or equal to 1000000000, got 1000"),
    ("case_study.samples_at_once", -1, "greater than 0, got -1"),
    ("case_study.samples_at_once", 100, "samples_at_once must be null for rrelu"),
    ("case_study.trials_per_job", 0, "greater than 0, got 0"),
    ("case_study.trials_per_job", 11, "trials_per_job must be at most trials = 5, got 11"),
    ("case_study.trials", 10**12, "less than or equal to 1000, got 1000000000000"),
    ("case_study.training.learning_rate", 1e308, "less than or equal to 1000000, got 1e+308"),
    ("case_study.training.steps", True, "valid integer, got True"),
    ("case_study.data.samples", 10, "at least dimension = 32"),
    ("case_study.data.classes", 16, "data.classes must be below dimension / 2 = 16, got 16"),
    (
        "theory_setting.network.width",
        31,
        "network.width must be at least the input dimension 32, got 31",
    ),
    ("case_study.training.learning_rate", float("inf"), "finite number"),
    ("case_study.activations", ["elu", "elu"], "named once"),
    ("case_study.network.rank", 3, "network.rank must be between 2K = 8 and d = 32, got 3"),
    ("case_study.dtype", "float32", "dtype must be float64 for clusters"),
    ("fashion_mnist.network.train_last_layer", False, "must be true"),
    ("fashion_mnist.network.rank", 19, "network.rank must be between 2K = 20 and d = 784, got 19"),
    ("fashion_mnist.data.training_images", 60010, "less than or equal to 60000, got 60010"),
    ("fashion_mnist.data.training_images", 15, "multiple of 10, got 15"),
    ("fashion_mnist.data.test_images", 10010, "less than or equal to 10000, got 10010"),
    ("deep_whitened.observe.block_shares", 3, "observe.loss must be a multiple"),
    ("deep_whitened.activations", ["swish"], "'swish' is not one of elu, gelu"),
    ("case_study.data.color", 1, "unknown key"),
    ("case_study.training", 1, "must hold keys"),
    ("case_studdy.trials", 1, "unknown key; the keys are case_study"),
    ("case_study.training.optimizer", "sgd", "'sgd' is not one of gradient_descent, sgd_momentum"),
    ("theory_setting.training.optimizer", "adam", "stop_near_linear_fit must be null except for"),
    ("case_study.observe.gradient", 1, "observe.gradient must be null except for depth 2"),
    ("case_study.training.batch_size", 2000, "must be at most the 1000 samples, got 2000"),
    ("fashion_mnist.network.rotation", 91.0, "less than or equal to 90, got 91.0"),
    ("case_study.network.rotation", 5.0, "network.rotation must be 0.0 unless"),
    ("case_study.training.weight_decay", 0.1, "weight_decay must be 0.0 for gradient_descent"),
    ("case_study.network.cores", "identity", "network.cores must be orthogonal unless network.r"),
    ("case_study.network.shares_draw", False, "network.shares_draw must be true unless network.r"),
    (
        "fashion_mnist.network.extra_columns",
        "image",
        "network.extra_columns must be drawn unless network.rank is above 2K = 20",
    ),
    (
        "rotated_factors.network",
        {"complements": "common", "width": 800},
        "complements must be separate unless rank = 2K and 3 rank <= d = m; here d = 784 and m = 8",
    ),
    ("fashion_mnist.network.cores", "eye", "should be 'orthogonal' or 'identity', got 'eye'"),
    (
        "case_study.observe.subspace_reference",
        2501,
        "observe.subspace_reference must be at most training.steps = 2500, got 2501",
    ),
    ("case_study.observe.subspace_reference", 0, "greater than 0, got 0"),
    ("deep_whitened.observe.loss_gradient", 3, "observe.loss must be a multiple"),
    ("vgg_full_model.observe.loss_gradient", 50, "only loss may be measured where convolutions"),
    (
        "vgg_heads.data.source",
        "imagenet",
        "'imagenet' is not one of clusters, convolved, fashion_mnist",
    ),
    ("vgg_heads.data.size", 31, "size must be at least 32 for vgg16, got 31"),
    ("vgg_heads.data.convolutions", "vgg19", "'vgg19' is not one of vgg16, tiny"),
    ("vgg_heads.data.fine_tuned", 1, "valid boolean, got 1"),
    ("vgg_heads.network.rank", 600, "network.rank must be between 2K = 20 and d = 512, got 600"),
    (
        "vgg_heads.network.first_batch",
        5010,
        "first_batch must be at most the 5000 samples, got 5010",
    ),
    (
        "vgg_full_model.observe.singular_structure",
        5,
        "only loss may be measured where convolutions are",
    ),
    (
        "vgg_full_model.training.optimizer",
        "muon",
        "neither muon nor stop_near_linear_fit may be used",
    ),
    (
        "vgg_full_model.dtype",
        "float64",
        "dtype must be float32 where convolutions are trained, got float64",
    ),
    ("vgg_heads.parameterizations", [], "at least one variant must have some"),
    ("vgg_heads.variants.4k.parameterizations", ["s_big", "s_big"], "each may be named once"),
    ("vgg_heads.variants.4k.parameterizations", ["low"], "'low' is not one of full, s_big, random"),
    ("vgg_heads.variants.4k.network.rank", 2000, "variants.4k: network.rank must be between"),
    (
        "deep_unwhitened.variants.adam.training.optimizer",
        "adamw",
        "variants.adam.training.optimizer:",
    ),
    (
        "deep_unwhitened.variants.adam.training.momentum",
        0.9,
        "unknown key; the keys are objective, optimizer",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSED)
def test_a_wrong_value_is_refused_with_file_key_and_what_is_right(
    folder: Path, key: str, value: object, message: str
) -> None:
    change(folder / "laptop.yaml", f"experiments.{key}", value)
    with refused(re.escape(message)) as refusal:
        settings_of("laptop", folder)
    sentence = str(refusal.value)
    assert "laptop.yaml" in sentence or "paper.yaml" in sentence
    assert "experiments" in sentence
    assert key.partition(".")[0] in sentence


@pytest.mark.parametrize(("images", "most"), [("training_images", 1400), ("test_images", 330)])
def test_more_images_than_there_are_are_refused(images: str, most: int) -> None:
    few = {"training_images": 10, "test_images": 10}
    PixelData(source="digits", **few | {images: most})
    message = f"{images} must be at most {most} of digits, is {most + 10}"
    with pytest.raises(ValidationError, match=message):
        PixelData(source="digits", **few | {images: most + 10})


def test_the_file_at_fault_is_named(folder: Path) -> None:
    change(folder / "paper.yaml", "experiments.deep_whitened.training.learning_rate", -1.0)
    with refused(r"paper\.yaml: experiments\.deep_whitened\.training\.learning_rate"):
        settings_of("laptop", folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    file = folder / "paper.yaml"
    content = yaml.safe_load(file.read_text())
    del content["experiments"]["case_study"]["network"]["depth"]
    file.write_text(yaml.safe_dump(content))
    with refused(r"experiments\.case_study\.network\.depth: missing key"):
        settings_of("paper", folder)


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_frozen_and_keep_the_papers_step(scale: str) -> None:
    """A smaller scale changes N, and eta with it: eta N is the paper's 10^-5 times 50,000."""
    settings = settings_of(scale)
    experiment = settings.experiment("fashion_mnist").of_variant("base")
    assert experiment.training.learning_rate * experiment.data.training_images == pytest.approx(0.5)
    with pytest.raises(ValidationError):
        experiment.trials = 7


def test_the_digest_follows_its_own_experiment_only(folder: Path) -> None:
    before = settings_of("laptop", folder)
    change(folder / "laptop.yaml", "experiments.case_study.training.steps", 40)
    after = settings_of("laptop", folder)
    assert before.of_variant("case_study").digest != after.of_variant("case_study").digest
    assert before.of_variant("fashion_mnist").digest == after.of_variant("fashion_mnist").digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observe__block_rank": 6}, "at most 5, below d/2, got 6"),
        ({"training__project": "inside"}, "null where training.project is set"),
        ({"observe__block_shares": None}, "null where no blocks are measured"),
        (
            {"network__depth": 2, "observe__gradient": 5},
            "null where observe.gradient is measured",
        ),
    ],
    ids=["rank", "project", "blocks", "gradient"],
)
def test_another_rank_of_the_blocks_is_refused_where_it_is_not_defined(
    settings: Callable[..., Settings], changes: dict[str, object], message: str
) -> None:
    settings(observe__block_rank=5)
    with pytest.raises(ValidationError, match=f"observe.block_rank must be {message}"):
        settings(**{"observe__block_rank": 5} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observe__gradient": 5, "training__project": "inside"},
            "observe.gradient must be null where training.project is set",
        ),
        (
            {"observe__constants": 5, "network__train_last_layer": True},
            "observe.constants must be null unless network.train_last_layer is false",
        ),
    ],
    ids=["project", "last layer"],
)
def test_what_is_observed_must_be_what_it_is_called(
    settings: Callable[..., Settings], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(network__depth=2, **changes)


@pytest.mark.parametrize("name", sorted({*OBSERVABLES} - {"loss", *NOT_WHERE_TRIALS_STOP}))
def test_whatever_is_observed_is_measured_where_a_trial_stops(
    settings: Callable[..., Settings], name: str
) -> None:
    """The loss is, so a cadence of 7 beside 5 would lose the last measurement of most trials."""
    observe = {"observe__singular_structure": None, "observe__block_shares": None}
    theory = {"network__depth": 2, "training__stop_near_linear_fit": 0.1, "observe__loss": 7}
    settings(**theory, **observe | {f"observe__{name}": 7})
    with pytest.raises(ValidationError, match=r"observe\.loss must be a multiple of the other"):
        settings(**theory | {"observe__loss": 5}, **observe | {f"observe__{name}": 7})


@pytest.mark.parametrize(
    ("width", "observe", "message"),
    [
        (
            20,
            {"singular_structure": 100},
            "singular_structure must be null unless network.width is above 2K = 20",
        ),
        (10, {"start_eps": [0.1]}, "start_eps must be empty unless network.width is above K = 10"),
    ],
)
def test_heads_too_narrow_for_what_is_observed_are_refused(
    folder: Path, width: int, observe: dict[str, object], message: str
) -> None:
    """Only heads may be narrower than their inputs, and only full ones have no rank."""
    heads = "experiments.vgg_heads"
    change(folder / "paper.yaml", f"{heads}.parameterizations", ["full"])
    change(folder / "paper.yaml", f"{heads}.variants", {"base": {}})
    change(folder / "paper.yaml", f"{heads}.network.width", width)
    change(folder / "paper.yaml", f"{heads}.network.rank", None)
    change(folder / "paper.yaml", f"{heads}.observe", observe)
    with refused(message):
        settings_of("paper", folder)


def test_a_cell_depends_on_the_entries_that_it_uses_and_on_no_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of("smoke")
    cell = settings.cells("vgg_heads")[0]
    before = settings.registered("vgg_heads", cell)
    gelu = ACTIVATIONS["gelu"]._replace(label="another name")
    monkeypatch.setitem(ACTIVATIONS, "gelu", gelu)
    sgd = OPTIMIZERS["sgd_momentum"]._replace(products=1)
    monkeypatch.setitem(OPTIMIZERS, "sgd_momentum", sgd)
    assert settings.registered("vgg_heads", cell) == before
    assert "gelu: another name" in labels()
    tiny = CONVOLUTIONS["tiny"]._replace(layers=(16, POOL))
    monkeypatch.setitem(CONVOLUTIONS, "tiny", tiny)
    assert settings.registered("vgg_heads", cell) != before


def test_a_cell_depends_on_what_follows_from_the_settings_of_its_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of("smoke")
    cell = settings.cells("fashion_mnist")[0]
    before = settings.registered("fashion_mnist", cell)
    monkeypatch.setattr(PixelData, "classes", 9)
    assert settings.registered("fashion_mnist", cell) != before


def test_a_further_activation_leaves_the_other_cells_as_they_are(folder: Path) -> None:
    before = settings_of("laptop", folder)
    change(folder / "laptop.yaml", "experiments.deep_whitened.activations", ["elu", "gelu", "silu"])
    after = settings_of("laptop", folder)
    assert before.of_variant("deep_whitened").digest == after.of_variant("deep_whitened").digest
    assert len(after.cells("deep_whitened")) == len(before.cells("deep_whitened")) + 1


def test_a_variant_changes_just_what_it_names() -> None:
    variants = settings_of("paper").experiment("deep_unwhitened").variants
    adam, momentum = variants["adam"], variants["sgd_momentum"]
    assert (adam.training.optimizer, adam.training.learning_rate) == ("adam", 0.001)
    assert adam.model_copy(update={"training": momentum.training}) == momentum


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
    with refused(message):
        settings_of("paper", folder)


def test_variants_have_cells_and_digests_of_their_own(folder: Path) -> None:
    name = "deep_unwhitened"
    before = settings_of("laptop", folder)
    cells = {cell.name for cell in before.cells(name)}
    assert {"elu-full-sgd_momentum", "gelu-full-muon"} <= cells
    rate = f"experiments.{name}.variants.adam.training.learning_rate"
    change(folder / "laptop.yaml", rate, 0.002)
    after = settings_of("laptop", folder)
    assert before.of_variant(name, "adam").digest != after.of_variant(name, "adam").digest
    assert before.of_variant(name, "muon").digest == after.of_variant(name, "muon").digest


def test_the_code_of_a_cell_is_that_of_its_own_data(folder: Path) -> None:
    name = "fashion_mnist"
    convolved = {"source": "convolved", "images": name, "convolutions": "tiny"} | {
        "size": 16,
        "pool": 1,
        "fine_tuned": True,
    }
    variants = {"pixels": {}, "convolved": {"data": convolved, "network": {"rank": None}}}
    change(folder / "paper.yaml", f"experiments.{name}.parameterizations", ["full"])
    change(folder / "paper.yaml", f"experiments.{name}.variants", variants)
    settings = settings_of("paper", folder)
    for variant in variants:
        modules = settings.modules(name, settings.cell(name, f"gelu-full-{variant}"))
        assert f"data.{variant}" in modules


def test_every_declared_value_has_its_reason() -> None:
    """The mark is followed by words, and the values that the paper states carry none."""
    text = (ROOT / "configs" / "paper.yaml").read_text()
    for line in text.splitlines():
        if "[declared]" in line and not line.startswith("#"):
            assert len(line.split("[declared]")[1].strip()) > 10, line
    for stated in ("dimension: 32  # d\n", "steps: 1500  # epochs", "eps: 0.1  # as stated"):
        assert stated in text
