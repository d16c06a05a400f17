"""The tidy schema: what is written is what is read, and nothing else is taken for metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, planted, refused, row
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.aggregation import aggregate, combine
from lowrank_dynamics.storage.metrics import Measurement, Metrics
from lowrank_dynamics.storage.provenance import CellOrigin
from lowrank_dynamics.storage.seal import SEAL, sealing
from runs import succeeding

CELL = Cell("elu", "full")
BOTH = np.array([True, True])


def origin(variant: str = "base", digest: str = "a", **changes: Any) -> CellOrigin:
    """Return where the numbers of a cell come from, with changes of its settings."""
    (own,) = planted(
        {Cell("elu", "full", variant): [row(0, "train_loss", [1.0])]}, **changes
    ).cells.values()
    return own.model_copy(update={"settings_sha256": digest, "data": {"source": "made up"}})


ORIGINS = {CELL.name: origin(trials=2)}


def example(stop: int | None = None) -> pa.Table:
    """Return losses and two singular values of two trials at steps 0, 1, 2; trial 1 may stop at an
    earlier step.
    """
    rows = []
    for step in range(3):
        present = np.array([True, stop is None or step <= stop])
        rows.append(
            Measurement(step, 0, "train_loss", np.array([10.0 + step, 20.0 + step]), present)
        )
        rows.append(
            Measurement(step, 1, "singular_value", np.array([[3.0, 2.0], [5.0, np.nan]]), present)
        )
    return metrics.table("small", CELL, rows)


def of_laptop() -> pa.Table:
    """Return the example with the column that files have besides."""
    scales = pa.array(["laptop"] * example().num_rows)
    return example().add_column(0, "scale", scales)


def test_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "cell.parquet"
    metrics.write(Metrics(example(), ORIGINS), path)
    found = metrics.read(path)
    assert found.table.equals(example())
    assert found.cells == ORIGINS
    assert found.provenance == {"cells": {"elu-full": ORIGINS["elu-full"].as_json()}}
    assert found.settings.trials == 2
    assert [file.name for file in path.parent.iterdir()] == ["cell.parquet"]


def test_files_of_several_runs_can_be_concatenated(tmp_path: Path) -> None:
    """As any reader of Parquet does; each field says what it holds."""
    files = []
    for scale in ("laptop", "paper"):
        of_scale = ORIGINS[CELL.name].model_copy(update={"scale": scale})
        metrics.write(Metrics(example(), {CELL.name: of_scale}), tmp_path / f"{scale}.parquet")
        files.append(pq.read_table(tmp_path / f"{scale}.parquet"))
    both = pa.concat_tables([table.replace_schema_metadata(None) for table in files])
    assert both["scale"].unique().to_pylist() == ["laptop", "paper"]
    assert both.num_rows == 2 * example().num_rows
    for field in both.schema:
        assert field.metadata[b"meaning"].decode() == metrics.MEANINGS[field.name]


def test_every_value_lands_in_its_row() -> None:
    frame = Metrics(example(), ORIGINS).frame("singular_value", layer=1, step=[1, 2])
    values = frame.set_index(["trial", "step", "index"])["value"].to_dict()
    expected = {(0, 1): 3.0, (0, 2): 2.0, (1, 1): 5.0}  # NaN has no row
    assert values == {
        (trial, step, i): value for (trial, i), value in expected.items() for step in (1, 2)
    }
    assert set(frame["experiment"]) == {"small"}
    assert set(frame["activation"]) == {"elu"}
    assert set(Metrics(example(), ORIGINS).frame("train_loss")["index"]) == {0}


def test_a_stopped_trial_keeps_its_last_values(tmp_path: Path) -> None:
    path = tmp_path / "elu-full" / "0-1.parquet"
    metrics.write(Metrics(example(stop=1), ORIGINS), path)
    joined = aggregate([path])
    losses = joined.frame("train_loss", trial=1).sort_values("step")
    assert losses["value"].tolist() == [20.0, 21.0, 21.0]
    assert joined.frame("train_loss", trial=0)["value"].tolist() == [10.0, 11.0, 12.0]
    assert joined.settings == ORIGINS[CELL.name].settings


def test_a_file_of_something_else_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "elu-full" / "0-1.parquet"
    metrics.write(Metrics(example(), ORIGINS), path)
    assert aggregate([path], "small", "laptop").table.equals(example())
    with refused(r"0-1\.parquet is of small, not of case_study; name another file, or delete it"):
        aggregate([path], "case_study", "laptop")
    with refused(r"0-1\.parquet is of laptop, not of paper; name another file, or delete it"):
        aggregate([path], "small", "paper")
    other = path.parent.rename(tmp_path / "relu-full") / path.name
    with refused(r"0-1\.parquet is of the cell elu-full; delete it"):
        aggregate([other], "small", "laptop")


def test_cells_of_other_settings_are_not_joined(tmp_path: Path) -> None:
    for name in ("a", "b"):
        metrics.write(
            Metrics(example(), {name: origin(digest=name)}), tmp_path / name / "0-1.parquet"
        )
    with refused("a, b come from different settings"):
        aggregate([tmp_path / "a" / "0-1.parquet", tmp_path / "b" / "0-1.parquet"])


def test_a_cell_names_what_each_of_its_jobs_used() -> None:
    """In whatever order they are joined: data that one job could not check are unverified."""
    verified = origin().model_copy(update={"libraries": {"torch": "2"}, "python": "3.11"})
    other = {"libraries": {"torch": "3"}, "python": "3.12"}
    other["data"] = {"source": "made up", "unverified": "CIFAR-10"}
    unverified = verified.model_copy(update=other)
    for jobs in ((verified, unverified), (unverified, verified)):
        shards = []
        for trial, of_job in enumerate(jobs):
            losses = [Measurement(0, 0, "train_loss", np.array([1.0]), BOTH[:1])]
            table = metrics.table("small", CELL, losses, trial)
            shards.append(Metrics(table, {CELL.name: of_job}))
        joined = combine(shards)
        assert joined.unverified == {"CIFAR-10"}
        cell = joined.cells[CELL.name]
        assert cell.data == {"source": "made up", "unverified": "CIFAR-10"}
        assert cell.libraries["torch"] == "; ".join(job.libraries["torch"] for job in jobs)
        assert cell.python == "; ".join(job.python for job in jobs)


def test_what_was_joined_before_is_named_once() -> None:
    """As where trials are added to those of a reference, some of which had been added to it."""

    def trial(number: int, python: str) -> Metrics:
        losses = [Measurement(0, 0, "train_loss", np.array([1.0]), BOTH[:1])]
        of_job = origin().model_copy(update={"python": python})
        return Metrics(metrics.table("small", CELL, losses, number), {CELL.name: of_job})

    first = combine([trial(0, "3.11"), trial(1, "3.12")])
    joined = combine([trial(2, "3.12"), first, trial(3, "3.11")])
    assert joined.cells[CELL.name].python == "3.12; 3.11"


def test_variants_may_differ_and_are_told_apart(tmp_path: Path) -> None:
    rates = {"warm": 0.1, "cold": 0.001}
    for name, rate in rates.items():
        rows = [Measurement(0, 0, "train_loss", np.array([float(len(name)), 1.0]), BOTH)]
        cell = Cell("elu", "full", name)
        origins = {cell.name: origin(name, name, training__learning_rate=rate)}
        metrics.write(
            Metrics(metrics.table("small", cell, rows), origins),
            tmp_path / cell.name / "0-1.parquet",
        )
    joined = aggregate([tmp_path / f"elu-full-{name}" / "0-1.parquet" for name in ("warm", "cold")])
    metrics.write(joined, tmp_path / "joined.parquet")
    variants = metrics.read(tmp_path / "joined.parquet").variants
    assert list(variants) == ["warm", "cold"]
    assert {
        name: variant.settings.training.learning_rate for name, variant in variants.items()
    } == rates
    assert set(variants["cold"].frame("train_loss")["variant"]) == {"cold"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.parquet"
    with refused(r"cell\.parquet is not a readable file of metrics"):
        metrics.read(path)
    metrics.write(Metrics(example(), ORIGINS), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with refused("not a readable file of metrics"):
        metrics.read(path)
    with sealing(path) as partial:
        other = {"schema_version": "0", "seal": SEAL, "provenance": "{}"}
        pq.write_table(example().replace_schema_metadata(other), partial)
    with refused("is not a file of metrics of schema 4: it has schema 0"):
        metrics.read(path)
    with sealing(path) as partial:
        stranger = of_laptop().append_column("more", example()["value"])
        written = {**other, "schema_version": metrics.SCHEMA_VERSION}
        pq.write_table(stranger.replace_schema_metadata(written), partial)
    with refused("has other columns than metrics of schema 4"):
        metrics.read(path)
    with sealing(path) as partial:
        foreign = other | {
            "schema_version": metrics.SCHEMA_VERSION,
            "provenance": '{"cells": {"elu-full": {"scale": 1}}}',
        }
        pq.write_table(of_laptop().replace_schema_metadata(foreign), partial)
    with refused(r"cell\.parquet has a provenance of other code.*cells\.elu-full.*delete it"):
        metrics.read(path)


def test_measurements_of_a_model_of_ones_own_have_no_settings() -> None:
    watched = CellOrigin(
        watched="mine", variant="base", code="1", libraries={}, python="3", started="now"
    )
    with refused("have no settings"):
        _ = Metrics(example(), {CELL.name: watched}).settings


def test_a_trial_that_diverged_keeps_its_last_measurement() -> None:
    """Where the others are measured; it ended later, at a step at which nothing is."""
    goes_on = np.array([True, False])
    rows = [row(step, "train_loss", [10.0 - step, 20.0 - step], layer=0) for step in (0, 5)]
    rows.append(row(7, "last_step", [7, 7], layer=0)._replace(present=~goes_on))
    rows.append(row(10, "train_loss", [0.0, 0.0], layer=0)._replace(present=goes_on))
    rows.append(row(10, "last_step", [10, 10], layer=0)._replace(present=goes_on))
    whole = combine([planted({CELL: rows}, trials=2)])
    losses = whole.frame("train_loss", step=10).set_index("trial")["value"]
    assert losses.to_dict() == {0: 0.0, 1: 15.0}
    ends = whole.frame("last_step").groupby("trial")["value"].min()
    assert ends.to_dict() == {0: 10.0, 1: 7.0}


@pytest.mark.slow
def test_a_process_that_only_reads_ends_well(tmp_path: Path) -> None:
    """With Arrow's threads 13 of 75 such processes aborted at their end."""
    path = tmp_path / "metrics.parquet"
    metrics.write(Metrics(example(), ORIGINS), path)
    reading = f"from lowrank_dynamics.storage import metrics; metrics.read(Path({str(path)!r}))"
    for _ in range(10):
        succeeding(ROOT / "workflow", "python", "-c", f"from pathlib import Path; {reading}")
