"""Tables of verdicts on disk: Parquet with provenance, and a readable page next to it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import parquet
from lowrank_dynamics.storage.atomic import replacing

SCHEMA_VERSION = "2"


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
    leaves no page. Raises UserError unless the suffix of `path` is .parquet.
    """
    if path.suffix != ".parquet":
        raise UserError(
            f"{path}: a table's name must end in .parquet; its page is written beside it"
        )
    with replacing(path.with_suffix(".md")) as partial_page:
        partial_page.write_text(page, encoding="utf-8")
        write_without_page(table, path)


def write_without_page(table: Table, path: Path) -> None:
    """Write a table to `path`; an interrupted write leaves no file."""
    rows = pa.Table.from_pandas(table.rows, preserve_index=False)
    parquet.write(rows, SCHEMA_VERSION, table.origin, path)


def read(path: Path, columns: Sequence[str], scale: str | None = None) -> Table:
    """Return the table in `path`, of this scale if given. Raises UserError if there is none, it
    lacks some of the columns or is of another scale.
    """
    rows, provenance = parquet.read(path, "table of verdicts", SCHEMA_VERSION, columns)
    table = Table(rows.to_pandas(), json.loads(provenance))
    if scale is not None:
        parquet.require_only(scale, {table.origin["scale"]}, path)
    return table
