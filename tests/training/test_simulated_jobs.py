"""Jobs on the simulated device: the numbers of the CPU, steps that read nothing back, and devices
that fail.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stacks
from conftest import (
    MINIBATCH,
    MakeJob,
    assert_same,
    job_of,
    refused,
    rows_of,
    run_named,
    settings_of,
)
from lowrank_dynamics.config.cell import shard_of
from lowrank_dynamics.config.parts import Part
from lowrank_dynamics.data.convolved import prepare_part
from lowrank_dynamics.models.low_rank import low_rank
from lowrank_dynamics.models.merge import merge
from lowrank_dynamics.models.subspace_report import subspace_report
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.tensors import read_tensors
from lowrank_dynamics.training import loop
from lowrank_dynamics.training.build import Job, setup_of
from lowrank_dynamics.training.device import CPU
from lowrank_dynamics.training.jobs import checkpoint_of, train_job
from lowrank_dynamics.training.watch import Watch
from simulated_device import NAME, WHY_NOT, Counts, SimulatedDevice, simulated

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

THERE = torch.device(NAME, 0)
RENEWED = {"training__project": "inside", "training__block": "gradient", "training__renew_every": 7}
SELDOM = {f"observe__{name}": 100 for name in ("loss", "singular_structure", "block_shares")}
LOSS_ALONE = {"observe__singular_structure": None, "observe__block_shares": None}


@pytest.fixture(autouse=True)
def device() -> Iterator[SimulatedDevice]:
    with simulated() as device:
        yield device


@pytest.mark.parametrize(
    ("activation", "parameterization", "changes"),
    [
        ("elu", "full", {}),
        ("rrelu", "full", {**MINIBATCH, "training__optimizer": "adam"}),
        ("elu", "full", {"training__stop_near_linear_fit": 0.01}),
        ("elu", "full", {"observe__subspace_reference": 7}),
        ("silu", "s_big", {"samples_at_once": 10}),
        ("gelu", "full", RENEWED),
        ("gelu", "s_big", {"training__optimizer": "muon", "observe__loss_gradient": 100}),
        ("relu", "random", {**LOSS_ALONE, "training__may_diverge": True}),
    ],
)
def test_a_step_without_a_measurement_reads_nothing_back(
    job: MakeJob, activation: str, parameterization: str, changes: dict[str, Any]
) -> None:
    """Nor does the host wait for an upload; five steps more than eight make the difference."""

    def counted(steps: int) -> Counts:
        run = job(activation, parameterization, **{**SELDOM, **changes}, training__steps=steps)
        with simulated() as device:
            list(rows_of(replace(run, device=THERE)))
        return device.counts

    more = counted(13).since(counted(8))
    assert more.operations > 5
    assert (more.reads, more.waited_uploads) == (0, 0)


def test_no_state_is_saved_past_a_loss_that_is_not_finite(job: MakeJob, tmp_path: Path) -> None:
    """Nothing is measured between the divergence at step 3 and the end, but states are saved."""
    run = job(**SELDOM, training__learning_rate=1e6)
    kept = checkpoint_of(run, tmp_path / "state.pt", every=0)
    with refused("not finite at step 3 in trial 0"):
        list(rows_of(run, kept))
    state = kept.load()
    assert state is not None
    assert state.step == 3


MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
HOST = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"
)
DEVICE = torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might")
LIBRARY = RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")


@pytest.mark.parametrize("place", ["forward_and_back", "_measured", "_Run.restore"])
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MEMORY, r"^small elu-full does not fit into the memory of the device simulated .*; lower"),
        (HOST, r"^small elu-full does not fit into the memory of the device simulated .*; lower"),
        (
            DEVICE,
            r"^small elu-full ended .* failed \(CUDA error: unspecified launch failure\); run",
        ),
        (LIBRARY, r"^small elu-full ended because the device simulated \(in host memory\) failed"),
    ],
)
def test_a_device_that_fails_leaves_the_last_state(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: Exception,
    sentence: str,
) -> None:
    """In a step, in a measurement, while a state is restored; then the next run resumes."""
    here, path = job(**LOSS_ALONE), tmp_path / "state.pt"
    run, whole = replace(here, device=THERE), list(rows_of(here))
    cut_off = rows_of(run, checkpoint_of(run, path, every=0))
    list(islice(cut_off, len(whole) // 2))
    cut_off.close()  # type: ignore[attr-defined]
    kept = path.read_bytes()
    owner, _, name = f"loop.{place}".rpartition(".")
    target = loop._Run if owner == "loop._Run" else loop
    original = getattr(target, name)
    with simulated() as device, monkeypatch.context() as patch:

        def failing(*arguments: Any) -> Any:
            device.fail(error)
            return original(*arguments)

        patch.setattr(target, name, failing)
        with refused(sentence):
            train_job(
                run,
                "smoke",
                checkpoint_of(run, path, every=3600),
                threads=1,
                started=datetime.now(UTC),
            )
    assert path.read_bytes() == kept
    with simulated():
        assert_same(list(rows_of(run, checkpoint_of(run, path, every=3600))), whole)


KINDS = [
    ("theory_setting", "elu-full"),
    ("first_gradient", "relu-full"),
    ("fashion_mnist", "gelu-s_big"),
    ("fashion_mnist_longer", "silu-random"),
    ("vgg_heads", "gelu-full-2k"),
    ("vgg_full_model", "gelu-full"),
]


def shards(finished: Path, run: str, experiment: str, cell: str) -> Iterator[tuple[Job, Path]]:
    """Yield the jobs of a cell that have run on the CPU, for the device, and their metrics."""
    job = replace(job_of(run, experiment, cell, finished / "results" / "data"), device=THERE)
    for stored in run_named(run, finished).cell_folder(experiment, cell).glob("*.parquet"):
        yield replace(job, trials=shard_of(stored.stem)), stored


def assert_same_metrics(jobs: Iterator[tuple[Job, Path]]) -> None:
    """Train on the device and require the metrics of the CPU."""
    count = 0
    for job, stored in jobs:
        with simulated() as device:
            found = metrics.table(job.name, job.cell, rows_of(job), job.trials[0])
        assert device.counts.operations > 0
        assert found.equals(metrics.read(stored).table)
        count += 1
    assert count > 0


@pytest.mark.parametrize(("experiment", "cell"), KINDS)
def test_each_kind_of_job_gives_the_numbers_of_the_cpu(
    finished: Path, experiment: str, cell: str
) -> None:
    assert_same_metrics(shards(finished, "smoke", experiment, cell))


@pytest.mark.slow
@pytest.mark.parametrize("run", ["smoke", "smoke/beyond"])
def test_every_job_gives_the_numbers_of_the_cpu(finished_beyond: Path, run: str) -> None:
    settings = settings_of(run)
    for experiment in settings.experiments:
        for cell in settings.cells(experiment):
            assert_same_metrics(shards(finished_beyond, run, experiment, cell.name))


def test_convolutions_in_mixed_precision_give_nearly_the_numbers_of_the_cpu(
    finished: Path,
) -> None:
    """bfloat16 has 8 bits, and the simulated device computes only convolutions in it."""
    mixed = ["experiments.vgg_full_model.training.mixed_precision=true"]
    job = job_of("smoke", "vgg_full_model", "gelu-full", finished / "results/data", *mixed)
    assert setup_of(job).network.mixed_precision
    for found, expected in zip(rows_of(replace(job, device=THERE)), rows_of(job), strict=True):
        assert found.values == pytest.approx(expected.values, rel=0.05, abs=0.05)


def test_features_are_those_of_the_cpu(finished: Path, tmp_path: Path) -> None:
    images = finished / "results/data/images/fashion_mnist-100-100.safetensors"
    part = Part("test", 0, 49)
    found = []
    for name, where in (("here", CPU), ("there", THERE)):
        path = tmp_path / name
        prepare_part(images, "tiny", None, path, part=part, size=16, pool=3, device=where)
        tensors, _ = read_tensors(path, ["test-0-49_features"])
        found.append(tensors["test-0-49_features"])
    assert torch.equal(*found)


def test_the_library_gives_the_numbers_of_the_cpu() -> None:
    """A low-rank model, merged, watched while it changes; and what the theory says before."""

    def numbers(where: torch.device) -> tuple[dict[str, Tensor], Any, Any]:
        model = stacks.mlp(20, 20, 20, 3)
        inputs, targets = stacks.batch(model)
        model.to(where)
        inputs, targets = inputs.to(where), targets.to(where)

        def loss() -> Tensor:
            return nn.functional.cross_entropy(model(inputs), targets)

        watch = Watch(model, loss, layers=[1], quantities=["block_shares", "singular_structure"])
        small = low_rank(model, loss, 8)
        assert {value.device.type for value in small.state_dict().values()} == {where.type}
        merged = merge(small).state_dict()
        report = subspace_report(model, loss)
        with torch.no_grad():
            model[0].weight += 0.1 * model[0].weight.square()
        watch.record(1)
        return {key: value.cpu() for key, value in merged.items()}, report, watch.metrics().table

    (here, report, watched), (there, same_report, same_watched) = numbers(CPU), numbers(THERE)
    assert here.keys() == there.keys()
    assert all(torch.equal(here[key], there[key]) for key in here)
    assert report == same_report
    assert watched.equals(same_watched)


def test_the_provenance_names_the_device(job: MakeJob) -> None:
    run = replace(job(), device=THERE)
    (cell,) = train_job(run, "smoke", None, threads=1, started=datetime.now(UTC)).cells.values()
    assert "simulated (in host memory)" in cell.machine
