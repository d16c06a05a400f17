"""The pages in Markdown that tables of verdicts are shown on: their tables, the stamp they bear, what they say first.

This module imports no pandas, because Snakemake loads it to print what a page says.
"""

from collections.abc import Iterable
from itertools import takewhile


def markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]


def stamp(unverified: Iterable[str]) -> list[str]:
    """Return the lines of a page that say which of the data are not verified; none if all are."""
    names = ", ".join(unverified)
    return [f"**Unverified data: {names}.**", ""] if names else []


def headline(page: str) -> str:
    """Return what a page says before its first table or section: the counts, and the stamp if there is one."""
    first = takewhile(lambda line: not line.startswith(("|", "#")), page.splitlines()[2:])
    return " ".join(line for line in first if line)
