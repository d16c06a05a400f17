"""What jobs ask of a cluster follows the settings, and is enough for what they were measured to take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import NAME, ROOT
from lowrank_dynamics.config import resources
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.settings import Cell, Settings, shard_name

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
    ],
    ids=str,
)
def test_more_work_takes_more_time(settings: Callable[..., Settings], more: dict[str, Any]) -> None:
    less = {"training__batch_size": 4} if "training__batch_size" in more else {}
    assert asked(settings, **more).minutes > asked(settings, **less).minutes


@pytest.mark.parametrize("more", [{"trials": 600}, {"data__samples": 480_000}, {"network__width": 5000}], ids=str)
def test_more_numbers_take_more_memory(settings: Callable[..., Settings], more: dict[str, Any]) -> None:
    assert asked(settings, **more).megabytes > asked(settings).megabytes


def test_a_low_rank_network_takes_less_than_the_full_one() -> None:
    paper = load_settings("paper", ROOT / "configs")
    full, low_rank = (
        resources.training_demand(paper, "fashion_mnist", Cell("gelu", name), range(5)) for name in ("full", "s_big")
    )
    assert low_rank.minutes < full.minutes / 4
    assert low_rank.megabytes < full.megabytes
    assert low_rank.is_brief
    assert not full.is_brief


def test_convolutions_have_the_operations_known_of_vgg16() -> None:
    """15.3 billion multiplications for an image of 224 pixels (Simonyan and Zisserman, 2015), 14.7 million weights."""
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
