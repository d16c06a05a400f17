"""What jobs request follows from the settings, suffices for what they were measured to take, and
what cannot be done is named before it starts.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from conftest import NAME, ROOT, refused, settings_of
from lowrank_dynamics.cli.commands import app
from lowrank_dynamics.config import cost
from lowrank_dynamics.config.cards import CARDS, card
from lowrank_dynamics.config.cell import Cell, shard_name
from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.folder import REFERENCE
from lowrank_dynamics.config.networks import convolutions
from lowrank_dynamics.config.overlay import Layer, overlaid
from lowrank_dynamics.config.request import requested
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.storage import metrics

PAPER = settings_of("paper")
FULL = Cell("gelu", "full")
A_DAY = 1_440


def with_only(name: str, **changes: Any) -> Settings:
    """Return the paper's settings of one experiment, with these values in place of its own."""
    content = {"experiments": {name: PAPER.experiment(name).model_dump(mode="json")}}
    changed = overlaid(content, Layer("test", {"experiments": {name: changes}}))
    experiments = {name: Experiment.model_validate(changed["experiments"][name])}
    return PAPER.model_copy(update={"experiments": experiments})


def hours(settings: Settings) -> float:
    jobs = [job for name in settings.experiments for job in cost.jobs_of(settings, name)]
    return sum(demand.seconds for _, demand in jobs) / 3_600


@pytest.mark.parametrize(
    ("of", "key", "value"),
    [
        ("seconds", "training__steps", 2_000_000),
        ("seconds", "training__batch_size", 5),
        ("seconds", "training__optimizer", "muon"),
        ("seconds", "observe__loss", 1),
        ("seconds", "observe__loss_gradient", 10),
        ("seconds", "data__samples", 4_800),
        ("seconds", "network__width", 500),
        ("seconds", "network__depth", 9),
        ("megabytes", "data__samples", 480_000),
        ("megabytes", "network__width", 5_000),
    ],
)
def test_more_work_takes_more(
    settings: Callable[..., Settings], of: str, key: str, value: object
) -> None:
    base = {"training__steps": 1_000_000, "training__batch_size": 4}
    one = cost.training_demand(settings(**base), NAME, FULL, range(3))
    other = cost.training_demand(settings(**base | {key: value}), NAME, FULL, range(3))
    assert getattr(other, of) > getattr(one, of)


@pytest.mark.parametrize("device", ["cpu", "auto"])
@pytest.mark.parametrize("name", PAPER.experiments)
def test_trials_add_up(name: str, device: str) -> None:
    settings = PAPER.model_copy(update={"device": device})
    for cell in settings.cells(name):
        one = cost.training_demand(settings, name, cell, range(1))
        five = cost.training_demand(settings, name, cell, range(5))
        assert five.operations == 5 * one.operations
        assert five.seconds == pytest.approx(5 * one.seconds)
        assert all(more >= less for less, more in zip(one, five, strict=True))
        assert (one.device_megabytes == 0) == (device == "cpu")


def test_a_low_rank_network_takes_less_than_the_full_one() -> None:
    demands = dict(cost.jobs_of(PAPER, "fashion_mnist"))
    full, s_big, random = (demands[f"{name}, trials: 5"] for name in ("full", "s_big", "random"))
    assert s_big.seconds < full.seconds / 4
    assert random.megabytes < min(full.megabytes, s_big.megabytes)  # which needs a full gradient
    assert s_big.is_brief
    assert not full.is_brief


def test_chunks_take_less_memory_of_a_gpu_and_as_long() -> None:
    name, whole = "fashion_mnist", with_only("fashion_mnist", samples_at_once=None)
    one = cost.training_demand(PAPER, name, FULL, range(5))
    other = cost.training_demand(whole, name, FULL, range(5))
    assert 5 * one.device_megabytes < other.device_megabytes
    assert one.seconds == other.seconds


def test_a_gpu_holds_what_passes_through_it_and_the_host_does_not() -> None:
    gpu, cpu = (
        cost.training_demand(settings, "vgg_full_model", FULL, range(5))
        for settings in (PAPER, PAPER.model_copy(update={"device": "cpu"}))
    )
    assert gpu.megabytes < 40_000 < gpu.device_megabytes < cpu.megabytes


def test_convolutions_are_those_known_of_vgg16() -> None:
    """15.3 billion multiplications for an image of 224 pixels (Simonyan and Zisserman, 2015), 14.7
    million weights.
    """
    data = PAPER.experiment("vgg_heads").data
    assert isinstance(data, ConvolvedData)
    layers = convolutions(data)
    assert sum(layer.size * layer.places for layer in layers) == pytest.approx(15.35e9, rel=0.01)
    assert sum(layer.size for layer in layers) == pytest.approx(14_714_688, rel=0.001)


SYNTHETIC = ("case_study", "deep_unwhitened", "deep_whitened")
FILES = [ROOT / REFERENCE / "laptop" / f"{name}.parquet" for name in PAPER.experiments]
FILES = [path for path in FILES if path.exists()]
FILES += [ROOT / REFERENCE / "paper" / f"{name}.parquet" for name in SYNTHETIC]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_training_on_a_cpu_takes_what_is_expected(file: Path) -> None:
    """Within a factor of three, for every job of the reference over ten seconds, by the steps that
    it took.
    """
    settings = settings_of(file.parent.name)
    settings = settings.model_copy(update={"device": "cpu"})
    for name, own in metrics.read(file, file.stem).by_cell.items():
        origin, cell = own.cells[name], settings.cell(file.stem, name)
        assert origin.settings
        trials = range(origin.settings.trials)
        steps = own.table["step"].to_numpy().max() / origin.settings.training.steps
        expected = steps * cost.training_demand(settings, file.stem, cell, trials).seconds
        assert origin.seconds < 10 or 1 / 3 < expected / origin.seconds < 3, cell


def test_every_cell_got_by_with_what_it_would_ask_for(finished: Path) -> None:
    smoke = settings_of("smoke").model_copy(update={"device": "cpu"})
    folder = finished / "results" / "smoke" / "benchmarks" / "train"
    for name, experiment in smoke.experiments.items():
        shard = experiment.shards[0]
        for cell in smoke.cells(name):
            benchmark = folder / name / cell.name / f"{shard_name(shard)}.tsv"
            keys, values = (line.split("\t") for line in benchmark.read_text().splitlines())
            took = dict(zip(keys, values, strict=True))
            wanted = cost.training_demand(smoke, name, cell, shard)
            assert float(took["s"]) < 60 * wanted.minutes
            assert took["max_rss"] == "NA" or float(took["max_rss"]) < wanted.megabytes


@pytest.mark.parametrize(
    ("changes", "gpu", "longest", "problems"),
    [
        ({}, "a100", A_DAY, []),
        (
            {"trials_per_job": 5},
            "a100",
            A_DAY,
            ["hours.*; `trials_per_job", "GB.*; `trials_per_job"],
        ),
        ({}, "v100", A_DAY, ["GB of a GPU that has 16.0 GB; a smaller `samples_at_once` .* `gpu`"]),
        ({"samples_at_once": 32}, "v100", A_DAY, []),
        ({}, "a100", A_DAY / 4, ["hours, .* 24.0; a faster `gpu` .* `training.mixed_precision"]),
        ({"training": {"mixed_precision": True}}, "a100", A_DAY / 4, []),
        ({}, "h100", A_DAY / 4, []),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_named_with_what_helps(
    changes: dict[str, Any], gpu: str, longest: float, problems: list[str]
) -> None:
    """The cases without a problem do what the sentence before them names."""
    sentences = cost.impossible(with_only("vgg_full_model", **changes).on(gpu), longest)
    for sentence, problem in zip(sentences, problems, strict=True):
        assert re.match(f"vgg_full_model: a job .*{problem}", sentence)


def test_the_paper_s_scale_can_be_run_on_the_paper_s_card() -> None:
    assert PAPER.gpu == "a100"
    assert list(cost.impossible(PAPER, A_DAY)) == []


def test_the_table_of_a_run_has_every_experiment_once_and_fits_a_screen() -> None:
    lines = CliRunner().invoke(app, ["resources"]).output.splitlines()
    assert max(map(len, lines)) <= 100
    first = [line.split(" ")[0] for line in lines]
    assert [name for name in first if name in PAPER.experiments] == [*PAPER.experiments]
    total = f"{hours(PAPER):,.1f}"
    assert lines[-4:-2] == [f"135 jobs, {total} GPU hours", f"{total} hours or more on 1 at a time"]


@pytest.mark.parametrize("value", ["h100", "2e13", 20_000_000_000_000])
def test_a_site_names_its_card_in_one_line(value: object) -> None:
    gpu = requested({"gpu": value}).gpu
    assert gpu == ("h100" if value == "h100" else 2e13)
    assert card(gpu).float32 > card("a100").float32


@pytest.mark.parametrize("wrong", ["b9000", "-1", 1, "nan", "", "inf", True])
def test_any_other_card_is_refused(wrong: object) -> None:
    refusal = rf"--config gpu={wrong}: .* is neither operations a second nor one of t4, "
    with refused(refusal):
        requested({"gpu": wrong})


def test_the_profile_for_slurm_retries_as_often_as_is_counted_on() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert 1 + profile["retries"] == cost.ATTEMPTS


def test_the_document_names_every_card_and_has_the_hours_of_the_settings() -> None:
    text = " ".join((ROOT / "docs" / "cluster.md").read_text(encoding="utf-8").split())
    assert [name for name in CARDS if f"`{name}`" not in text] == []
    mixed = with_only("vgg_full_model", training={"mixed_precision": True})
    others = hours(PAPER) - hours(with_only("vgg_full_model"))
    for expected in (f"{hours(PAPER):,.0f}", f"{others:.1f}", f"{others + hours(mixed):.0f}"):
        assert f" {expected} GPU hours" in text
