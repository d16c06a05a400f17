"""What jobs ask of a cluster follows the settings, and is enough for what they were measured to
take.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import NAME, ROOT
from lowrank_dynamics.analysis.reference import FOLDER
from lowrank_dynamics.config import resources
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.settings import Cell, Settings, shard_name
from lowrank_dynamics.storage import metrics

FULL = Cell("elu", "full")


def asked(make: Callable[..., Settings], **changes: Any) -> resources.Demand:
    made = make(**{"training__steps": 1_000_000, **changes})
    return resources.training_demand(made, NAME, FULL, range(made.experiment(NAME).trials))


@pytest.mark.parametrize(
    "more",
    [
        {"training__steps": 2_000_000},
        {"trials": 6},
        {"data__samples": 4_800},
        {"network__width": 500},
        {"network__depth": 9},
        {"observe__loss": 1, "training__batch_size": 4},
        {"training__optimizer": "muon"},
    ],
    ids=str,
)
def test_more_work_takes_more_time(settings: Callable[..., Settings], more: dict[str, Any]) -> None:
    less = {"training__batch_size": 4} if "training__batch_size" in more else {}
    assert asked(settings, **more).seconds > asked(settings, **less).seconds


@pytest.mark.parametrize(
    "more", [{"trials": 600}, {"data__samples": 480_000}, {"network__width": 5000}], ids=str
)
def test_more_numbers_take_more_memory(
    settings: Callable[..., Settings], more: dict[str, Any]
) -> None:
    assert asked(settings, **more).megabytes > asked(settings).megabytes


def test_a_low_rank_network_takes_less_than_the_full_one() -> None:
    paper = load_settings("paper", ROOT / "configs")
    full, low_rank, random = (
        resources.training_demand(paper, "fashion_mnist", Cell("gelu", name), range(5))
        for name in ("full", "s_big", "random")
    )
    assert low_rank.seconds < full.seconds / 4
    assert random.megabytes < full.megabytes
    assert (
        random.megabytes < low_rank.megabytes
    )  # whose start needs the full network and its gradient
    assert low_rank.is_brief
    assert not full.is_brief


EXPERIMENTS = load_settings("laptop", ROOT / "configs").experiments
LAPTOP = [
    path
    for path in sorted((ROOT / FOLDER / "laptop").glob("*.parquet"))
    if path.stem in EXPERIMENTS
]
SYNTHETIC = [
    ROOT / FOLDER / "paper" / f"{name}.parquet"
    for name in ("case_study", "deep_unwhitened", "deep_whitened")
]


@pytest.mark.parametrize(
    "file", [*LAPTOP, *SYNTHETIC], ids=lambda file: "-".join(file.with_suffix("").parts[-2:])
)
def test_training_on_a_cpu_takes_what_is_expected(file: Path) -> None:
    """Within a factor of three, for every job of the reference over ten seconds, by the steps that
    it took.
    """
    run = metrics.read(file, file.stem)
    settings = load_settings(file.parent.name, ROOT / "configs").model_copy(
        update={"device": "cpu"}
    )
    for cell, own in run.by_cell.items():
        origin = own.cells[cell]
        assert origin.settings is not None
        if origin.seconds > 10:
            found = settings.cell(file.stem, cell)
            expected = resources.training_demand(
                settings, file.stem, found, range(origin.settings.trials)
            ).seconds
            expected *= own.table["step"].to_numpy().max() / origin.settings.training.steps
            assert 1 / 3 < expected / origin.seconds < 3, (cell, origin.seconds, expected)


def test_a_gpu_holds_what_passes_through_it_and_the_host_does_not() -> None:
    paper = load_settings("paper", ROOT / "configs")
    one, five = (
        resources.training_demand(paper, "vgg_full_model", Cell("gelu", "full"), range(count))
        for count in (1, 5)
    )
    assert one.device_megabytes < 40_000 < five.device_megabytes  # that of an A100
    assert five.megabytes < 40_000
    cpu = paper.model_copy(update={"device": "cpu"})
    assert (
        resources.training_demand(
            cpu, "vgg_full_model", Cell("gelu", "full"), range(1)
        ).device_megabytes
        == 0
    )


def test_chunks_take_less_memory_of_a_gpu_and_as_long() -> None:
    paper = load_settings("paper", ROOT / "configs")
    chunks = paper.experiment("fashion_mnist")
    assert chunks.samples_at_once == 1_000
    whole = chunks.model_copy(update={"samples_at_once": None})
    by_size = [
        paper.model_copy(update={"experiments": {"fashion_mnist": each}})
        for each in (chunks, whole)
    ]
    one, other = (
        resources.training_demand(each, "fashion_mnist", Cell("gelu", "full"), range(5))
        for each in by_size
    )
    assert 5 * one.device_megabytes < other.device_megabytes
    assert one.seconds == other.seconds


def test_convolutions_have_the_operations_known_of_vgg16() -> None:
    """15.3 billion multiplications for an image of 224 pixels (Simonyan and Zisserman, 2015), 14.7
    million weights.
    """
    data = load_settings("paper", ROOT / "configs").experiment("vgg_heads").data
    work = resources._convolutions(data)  # type: ignore[arg-type]
    assert work.multiplications == pytest.approx(15.35e9, rel=0.01)
    assert work.weights == pytest.approx(14_714_688, rel=0.001)


def test_every_cell_got_by_with_what_it_would_ask_for(finished: Path) -> None:
    smoke = load_settings("smoke", ROOT / "configs").model_copy(update={"device": "cpu"})
    for name in smoke.experiments:
        for cell in smoke.cells(name):
            shard = smoke.experiment(name).shards[0]
            folder = finished / "results" / "smoke" / "benchmarks" / "train" / name / cell.name
            benchmark = folder / f"{shard_name(shard)}.tsv"
            keys, values = (line.split("\t") for line in benchmark.read_text().splitlines())
            took = dict(zip(keys, values, strict=True))
            wanted = resources.training_demand(smoke, name, cell, shard)
            assert float(took["s"]) < 60 * wanted.minutes
            assert took["max_rss"] == "NA" or float(took["max_rss"]) < wanted.megabytes
