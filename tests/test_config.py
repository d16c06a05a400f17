"""The settings: what is refused, and with which words."""

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from conftest import ROOT
from lowrank_dynamics.config import SCALES, load_settings, requested_scale
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
    ("experiments.case_study.data.colour", 1, "unknown key"),
    ("experiments.case_study.training", 1, "must hold keys"),
    ("experiments.case_studdy.trials", 1, "unknown key; there may be case_study"),
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
    del content["experiments"]["case_study"]["network"]["scale"]
    (folder / "paper.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"experiments\.case_study\.network\.scale: missing key"):
        load_settings("paper", folder)


@pytest.mark.parametrize("content", ["a: [", "[1, 2]", "\x00"])
def test_a_file_that_is_no_settings_is_named(folder: Path, content: str) -> None:
    (folder / "smoke.yaml").write_text(content)
    with pytest.raises(UserError, match=r"smoke\.yaml"):
        load_settings("smoke", folder)


def test_unknown_scales_keys_and_experiments_are_refused() -> None:
    with pytest.raises(UserError, match="choose one of smoke, laptop, paper"):
        load_settings("desktop", ROOT / "configs")
    with pytest.raises(UserError, match="--config scales: unknown key"):
        requested_scale({"scales": "paper"})
    with pytest.raises(UserError, match="choose one of case_study"):
        load_settings("paper", ROOT / "configs").experiment("figure_1")


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
    change(folder / "laptop.yaml", "experiments.case_study.trials", 4)
    after = load_settings("laptop", folder)
    assert before.digest("case_study") != after.digest("case_study")
    assert before.digest("fashion_mnist") == after.digest("fashion_mnist")


def test_a_further_activation_leaves_the_other_cells_as_they_are(folder: Path) -> None:
    before = load_settings("laptop", folder)
    change(folder / "laptop.yaml", "experiments.deep_whitened.activations", ["elu", "gelu", "silu"])
    after = load_settings("laptop", folder)
    assert before.digest("deep_whitened") == after.digest("deep_whitened")
    assert len(after.cells("deep_whitened")) == len(before.cells("deep_whitened")) + 1


def test_every_declared_value_has_its_reason() -> None:
    """The mark is followed by words, and the values that the paper states carry none."""
    text = (ROOT / "configs" / "paper.yaml").read_text()
    for line in text.splitlines():
        if "[declared]" in line and not line.startswith("#"):
            assert len(line.split("[declared]")[1].strip()) > 10, line
    stated = ["dimension: 32  # d\n", "steps: 1500  # epochs", "scale: 0.1  # eps\n"]
    assert all(value in text for value in stated)
