"""Tables of verdicts on disk: Parquet with provenance, and a readable page next to it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.seal import SEAL, require_intact, sealing

SCHEMA_VERSION = "1"


class Table(NamedTuple):
    """The rows of a table, and what it depends on."""

    rows: pd.DataFrame
    origin: Mapping[str, Any]

    @property
    def unverified(self) -> list[str]:
        """The unverified data behind the table."""
        return self.origin.get("unverified", [])


def write(table: Table, page: str, path: Path) -> None:
    """Write a table to `path` and the page next to it, with the suffix .md; an interrupted write
    leaves neither.
    """
    with sealing(path) as partial, replacing(path.with_suffix(".md")) as partial_page:
        pq.write_table(_contents(table), partial)
        partial_page.write_text(page, encoding="utf-8")


def write_without_page(table: Table, path: Path) -> None:
    """Write a table to `path`; an interrupted write leaves no file."""
    with sealing(path) as partial:
        pq.write_table(_contents(table), partial)


def _contents(table: Table) -> pa.Table:
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "seal": SEAL,
        "provenance": json.dumps(table.origin),
    }
    contents = pa.Table.from_pandas(table.rows, preserve_index=False)
    return contents.replace_schema_metadata(metadata)


def read(path: Path, columns: Sequence[str]) -> Table:
    """Return the table in `path`. Raises UserError if there is none or it lacks some of the
    columns.
    """
    try:
        require_intact(path)
        contents = pq.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable table of verdicts ({error}); delete it and run again"
        ) from error
    metadata = contents.schema.metadata or {}
    version = metadata.get(b"schema_version", b"").decode()
    if version != SCHEMA_VERSION or not set(columns) <= set(contents.column_names):
        raise UserError(
            f"{path} holds other columns than verdicts of schema {SCHEMA_VERSION}; delete it and"
            " run again"
        )
    return Table(contents.to_pandas(), json.loads(metadata[b"provenance"]))
