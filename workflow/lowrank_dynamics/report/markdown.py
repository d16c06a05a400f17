"""Markdown for pages of verdicts: tables, and the stamp on unverified data."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Grid(NamedTuple):
    """A table of text, for a page in Markdown or HTML."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]


def stamp(unverified: Iterable[str]) -> list[str]:
    """Return the lines of a page that name the unverified data; empty if there are none."""
    names = ", ".join(unverified)
    return [f"**Unverified data: {names}.**", ""] if names else []
