"""Tables of verdicts on disk: as Parquet with provenance, and beside it a page to read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.writing import replacing

SCHEMA_VERSION = "1"


def write(table: pd.DataFrame, page: str, origin: Mapping[str, Any], path: Path) -> None:
    """Write a table with its provenance to `path` and the page beside it, with the ending .md.

    A write that breaks off leaves no file under either name.
    """
    metadata = {"schema_version": SCHEMA_VERSION, "provenance": json.dumps(origin)}
    contents = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(metadata)
    with replacing(path) as partial, replacing(path.with_suffix(".md")) as partial_page:
        pq.write_table(contents, partial)
        partial_page.write_text(page)


def read_unverified(path: Path) -> list[str]:
    """Return which of the data behind the table in `path`, that `read` accepts, are not verified."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata[b"provenance"]).get("unverified", [])


def read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table in `path`. Raises UserError if it holds none, or one that lacks some of the columns."""
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a readable table of verdicts ({error}); delete it and run again") from error
    version = (found.schema.metadata or {}).get(b"schema_version", b"").decode()
    if version != SCHEMA_VERSION or not set(columns) <= set(found.column_names):
        raise UserError(f"{path} holds other columns than verdicts of schema {SCHEMA_VERSION}; delete it and run again")
    return found.to_pandas()
