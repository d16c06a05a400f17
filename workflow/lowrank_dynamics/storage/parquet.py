"""Sealed Parquet files with a schema version and provenance in their metadata."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.seal import SEAL, intact, sealing


def write(rows: pa.Table, version: str, provenance: Mapping[str, Any], path: Path) -> None:
    """Write rows of a schema's version to `path`; an interrupted write leaves no file."""
    metadata = {
        "schema_version": version,
        "seal": SEAL,
        "provenance": json.dumps(provenance),
    }
    with sealing(path) as partial:
        pq.write_table(rows.replace_schema_metadata(metadata), partial, compression="zstd")


def read(path: Path, kind: str, version: str, columns: Collection[str]) -> tuple[pa.Table, str]:
    """Return the rows in `path`, and their provenance as JSON.

    They are read without threads, with which a process that ends soon after sometimes aborts
    (apache/arrow#34314). Raises UserError, calling what is expected a `kind`, if there is no
    readable file, it was altered, is of another schema's version, or lacks some of the columns.
    """
    try:
        rows = pq.read_table(pa.BufferReader(intact(path)), use_threads=False)
        metadata = rows.schema.metadata or {}
        stored = metadata[b"schema_version"].decode()
        provenance = metadata[b"provenance"].decode()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable {kind} ({error}); delete it and run again"
        ) from error
    problem = ""
    lacking = sorted(set(columns).difference(rows.column_names))
    if stored != version:
        problem = f"it has schema {stored}"
    elif lacking:
        problem = f"it lacks {', '.join(lacking)}"
    if problem:
        raise UserError(
            f"{path} is not a {kind} of schema {version}: {problem}; delete it and run again"
        )
    return rows, provenance


def require_only(expected: str, names: Collection[str], path: Path) -> None:
    """Raise UserError if a file is of other experiments, or scales, than the one expected."""
    if set(names) != {expected}:
        others = ", ".join(sorted(names))
        raise UserError(
            f"{path} is of {others}, not of {expected}; name another file, or delete it and run"
            " again"
        )
