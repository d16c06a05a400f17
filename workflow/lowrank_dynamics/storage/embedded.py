"""Where Parquet, PNG, SVG, PDF and GIF files hold provenance."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.seal import intact

DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"


def figure_metadata(origin: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a figure's metadata, by format: its provenance, and no date."""
    text = json.dumps(origin)
    return {
        "pdf": {"CreationDate": None, "Subject": text},
        "svg": {"Date": None, "Description": text},
        "png": {"Description": text},
        "gif": {"comment": text},
    }


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance in a file. Raises UserError if it has none or cannot be read."""
    if path.suffix not in READERS:
        raise UserError(f"{path} has no provenance: it is none of {', '.join(READERS)}")
    try:
        provenance = json.loads(READERS[path.suffix](path))
        if not isinstance(provenance, dict):
            raise TypeError(f"it is a {type(provenance).__name__}")
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        pa.ArrowException,
        ElementTree.ParseError,
    ) as error:
        raise UserError(
            f"{path} has no provenance that can be read ({type(error).__name__}: {error})"
        ) from error
    return provenance


def _of_parquet(path: Path) -> str:
    schema = pq.read_schema(pa.BufferReader(intact(path)))
    return (schema.metadata or {})[b"provenance"].decode()


def _of_png(path: Path) -> str:
    with Image.open(path) as image:
        return image.info["Description"]


def _of_gif(path: Path) -> str:
    with Image.open(path) as image:
        return image.info["comment"].decode()


def _of_svg(path: Path) -> str:
    for description in ElementTree.parse(path).iter(f"{DUBLIN_CORE}description"):
        return description.text or ""
    return ""


def _of_pdf(path: Path) -> str:
    subject = re.search(rb"/Subject \((.*?)(?<!\\)\)", path.read_bytes(), re.DOTALL)
    if subject is None:
        return ""
    return re.sub(rb"\\(.)", rb"\1", subject[1]).decode()


READERS = {
    ".parquet": _of_parquet,
    ".png": _of_png,
    ".svg": _of_svg,
    ".pdf": _of_pdf,
    ".gif": _of_gif,
}
"""What reads the provenance in a file, by its suffix."""
