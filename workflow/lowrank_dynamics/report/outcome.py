"""What a run has brought, in the lines that it ends with; of files that are older than what they show, that they are.

This module imports no pandas, because Snakemake loads it.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

SHOWN = {
    "report.html": "figures/{scale}/*.pdf",
    "claims.md": "results/{scale}/metrics/*.parquet",
    "comparison.md": "results/{scale}/metrics/*.parquet",
    "sensitivity.md": "results/{scale}/sensitivity/*/claims.parquet",
}
"""The files that are told, by name, and what each of them shows."""


def outcome(scale: str, root: Path = Path()) -> Iterator[str]:
    """Yield where the figures of a run are, if there are any, and what is to be read about them."""
    if any((root / "figures" / scale).glob("*.pdf")):
        yield f"The figures at {scale} scale are in figures/{scale}/"
    for name, pattern in SHOWN.items():
        file = root / "results" / scale / name
        if not file.exists():
            continue
        if any(file.stat().st_mtime < shown.stat().st_mtime for shown in root.glob(pattern.format(scale=scale))):
            said = "older than some of what it shows; a run without a target makes it anew"
        elif file.suffix == ".html":
            said = "the figures with verdicts and settings"
        else:
            said = headline(file.read_text(encoding="utf-8"))
        yield f"results/{scale}/{name}: {said}"


def headline(page: str) -> str:
    """Return what a page says before its first table or section: the counts, and the stamp if there is one."""
    first = takewhile(lambda line: not line.startswith(("|", "#")), page.splitlines()[2:])
    return " ".join(line for line in first if line)
