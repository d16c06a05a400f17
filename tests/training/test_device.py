"""Jobs side by side take different GPUs, none piles up on one, and numbers do not depend on where
they are computed.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import simulated_device
from conftest import ROOT, MakeJob, assert_same, measured, rows_of
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.training import device as devices
from lowrank_dynamics.training import gpus
from lowrank_dynamics.training.jobs import checkpoint_of
from simulated_device import NAME, WHY_NOT

HARDWARE = "only a GPU shows its rounding, and whether that is the same every time; there is none"
DEVICES = [
    pytest.param(NAME, marks=pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)),
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=HARDWARE)),
]


def test_jobs_side_by_side_take_different_gpus(tmp_path: Path) -> None:
    with gpus.claimed(["a", "b"], tmp_path) as one, gpus.claimed(["a", "b"], tmp_path) as other:
        assert (one, other) == (0, 1)
    with gpus.claimed(["a", "b"], tmp_path) as again:
        assert again == 0


def test_where_all_are_taken_the_next_job_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "LOOK_AGAIN", 0.01)
    order = []

    def another() -> None:
        with gpus.claimed(["a"], tmp_path):
            order.append("second")

    with gpus.claimed(["a"], tmp_path):
        waiting = threading.Thread(target=another)
        waiting.start()
        waiting.join(timeout=0.2)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]


def test_a_job_that_is_killed_leaves_its_gpu(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom pathlib import Path; from"
        " lowrank_dynamics.training import gpus\nwith gpus.claimed(['a', 'b'], Path(sys.argv[2]))"
        " as index: print(index, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(ROOT / "workflow"), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "0\n"
        with gpus.claimed(["a", "b"], tmp_path) as beside:
            assert beside == 1
        job.kill()
    with gpus.claimed(["a", "b"], tmp_path) as after:
        assert after == 0


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("", 0),
        ("2", 1),
        ("0,3", 2),
        ("GPU-1f,GPU-2e,", 2),
        ("-1", 0),
        ("none", 0),
        ("0,-1,1", 1),
        ("MIG-3d", 1),
    ],
)
def test_the_gpus_that_may_be_used_are_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.count() == count


def test_the_driver_is_asked_where_nothing_else_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.count() == 0
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: one (UUID: GPU-1)'\necho 'GPU 1: two (UUID: GPU-2)'\n"
    )
    program.chmod(0o755)
    assert gpus.count() == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with devices.claimed_device("auto") as device:
        assert device == devices.CPU
    assert caplog.text == ""
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    with devices.claimed_device("auto"):
        assert "Slurm gave this job a GPU" in caplog.text
    with (
        pytest.raises(UserError, match="device is cuda, but torch finds no such device"),
        devices.claimed_device("cuda"),
    ):
        pass


@pytest.mark.parametrize(("system", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_peak_memory_is_in_megabytes_of_any_system(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    monkeypatch.setattr("sys.platform", system)
    usage = SimpleNamespace(ru_maxrss=300 * 2**20 // unit)
    monkeypatch.setattr("resource.getrusage", lambda _: usage)
    assert devices.peak_megabytes(devices.CPU) == {"host": 300}


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Return a device of each kind, which no other job has."""
    claimed = {"cuda": devices.claimed_device, NAME: simulated_device.claimed_device}
    with claimed[request.param](request.param) as device:
        yield device


@pytest.mark.parametrize(
    ("activation", "parameterization", "changes"),
    [
        ("elu", "full", {}),
        ("rrelu", "full", {"training__optimizer": "adam", "training__batch_size": 7}),
        ("gelu", "s_big", {}),
    ],
)
def test_a_device_gives_the_numbers_of_the_cpu(
    job: MakeJob,
    device: torch.device,
    activation: str,
    parameterization: str,
    changes: dict[str, Any],
) -> None:
    """On a GPU within 1e-6 in double precision after 20 steps, subspaces within 1e-4; not Muon,
    which computes in bfloat16. On the simulated device to the bit.
    """
    here = job(activation, parameterization, **changes)
    expected = measured(here)
    found = measured(replace(here, device=device))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        tolerance = 1e-4 if key[1].startswith(("sine", "angle")) else 1e-6
        if device.type == NAME:
            tolerance = 0.0
        np.testing.assert_allclose(
            found[key], value, rtol=tolerance, atol=tolerance, err_msg=str(key)
        )


def test_a_device_gives_the_same_bytes_twice(job: MakeJob, device: torch.device) -> None:
    first, second = (measured(replace(job(), device=device)) for _ in range(2))
    assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)


def test_a_training_that_was_cut_off_goes_on_on_a_device(
    job: MakeJob, device: torch.device, tmp_path: Path
) -> None:
    run = replace(job(training__optimizer="adam", training__batch_size=7), device=device)
    whole = list(rows_of(run))
    cut_off = rows_of(run, checkpoint_of(run, tmp_path / "state.pt", every=0))
    list(islice(cut_off, len(whole) // 2))
    cut_off.close()  # type: ignore[attr-defined]
    assert_same(list(rows_of(run, checkpoint_of(run, tmp_path / "state.pt", every=0))), whole)
