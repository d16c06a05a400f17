"""A file that was changed, by as little as one bit, is never taken for a result."""

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from conftest import MakeJob, planted, refused, row, rows_of
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage import metrics, tables, tensors
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.training.jobs import checkpoint_of

FLIPS = 300


def altered(path: Path, bit: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def written_metrics(path: Path) -> list[Callable[[], Any]]:
    shares = [row(step, "block_share", [[0.9, 0.1], [0.8, 0.2]]) for step in range(20)]
    metrics.write(planted({Cell("elu", "full"): shares}), path)
    return [lambda: metrics.read(path), lambda: read_provenance(path)]


def written_table(path: Path) -> list[Callable[[], Any]]:
    rows = pd.DataFrame(
        {"claim": ["a", "b"], "mean": [0.5, 0.25], "verdict": ["reproduced", "partly"]}
    )
    tables.write(tables.Table(rows, {"scale": "laptop"}), "a page", path)
    return [lambda: tables.read(path, ["claim"]), lambda: read_provenance(path)]


def written_tensors(path: Path) -> list[Callable[[], Any]]:
    tensors.write_tensors(
        {"images": torch.arange(200, dtype=torch.uint8)}, {"images": "somewhere"}, path
    )
    return [lambda: tensors.read_tensors(path), lambda: tensors.read_origin(path)]


@pytest.mark.parametrize("written", [written_metrics, written_table, written_tensors])
def test_no_flipped_bit_goes_unseen(
    written: Callable[[Path], list[Callable[[], Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "result.parquet"
    readers = written(path)
    assert all(reader() for reader in readers)
    whole, chosen = path.read_bytes(), random.Random(0)
    for _ in range(FLIPS):
        path.write_bytes(whole)
        path.write_bytes(altered(path, chosen.randrange(8 * len(whole))))
        for reader in readers:
            with refused(r"contents changed|no digest"):
                reader()
    for cut in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with refused(r"cannot be read|not a readable"):
            readers[0]()


def test_no_altered_state_is_resumed_from(job: MakeJob, tmp_path: Path) -> None:
    run, path = job(observe__loss=1), tmp_path / "state.pt"
    cut_off = rows_of(run, checkpoint_of(run, path, every=0))
    list(islice(cut_off, 40))
    cut_off.close()  # type: ignore[attr-defined]
    whole, chosen = path.read_bytes(), random.Random(0)
    for _ in range(FLIPS):
        path.write_bytes(whole)
        path.write_bytes(altered(path, chosen.randrange(8 * len(whole))))
        assert checkpoint_of(run, path, every=0).load() is None
        assert not path.exists()
    path.write_bytes(whole)
    assert checkpoint_of(run, path, every=0).load() is not None


def test_files_are_as_readable_as_the_users_others(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    written_tensors(tmp_path / "images.safetensors")
    assert (tmp_path / "images.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
