"""The closing block of a run: its results, and which files are older than what they show.

This module imports no pandas, because Snakemake loads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

SHOWN = {
    "report.html": (
        "figures/{scale}/*.pdf",
        *(
            f"results/{{scale}}/{name}.parquet"
            for name in ("claims", "sensitivity", "beyond/claims")
        ),
    ),
    "claims.md": ("results/{scale}/metrics/*.parquet",),
    "comparison.md": ("results/{scale}/metrics/*.parquet",),
    "sensitivity.md": ("results/{scale}/sensitivity/*/claims.parquet",),
}
"""The listed files, by name, and what each of them shows."""
MISSING = "missing.txt"
"""In `results/<scale>`: which figures could not be drawn, and why."""


def outcome(scale: str, seconds: float | None = None, root: Path = Path()) -> Iterator[str]:
    """Yield the lines of the block: how long the run took, its figures, what to read about them,
    what is missing.

    Nothing if there are no figures.
    """
    results = root / "results" / scale
    if not (figures := list((root / "figures" / scale).glob("*.pdf"))):
        return
    yield f"The run at {scale} scale" + (
        f" took {duration(seconds)}" if seconds is not None else ""
    )
    yield _line("figures", f"{len(figures)} in figures/{scale}/")
    for name, patterns in SHOWN.items():
        file = results / name
        if not file.exists():
            continue
        shown = [path for pattern in patterns for path in root.glob(pattern.format(scale=scale))]
        said = "" if file.suffix == ".html" else headline(file.read_text(encoding="utf-8"))
        if any(file.stat().st_mtime < path.stat().st_mtime for path in shown):
            said = "older than some of what it shows; a run without a target makes it anew"
        yield _line(file.stem, f"results/{scale}/{name}{f': {said}' if said else ''}")
    yield from missing(scale, root)


def missing(scale: str, root: Path = Path()) -> Iterator[str]:
    """Yield a line for each reason that the last run could not draw some figures."""
    if (note := root / "results" / scale / MISSING).exists():
        yield from (
            _line("missing", line) for line in note.read_text(encoding="utf-8").splitlines()
        )


def note_missing(scale: str, figures: Mapping[str, Sequence[str]], root: Path = Path()) -> None:
    """Record, for the outcome, which figures a run could not draw, by reason; nothing if it drew
    all.
    """
    note = root / "results" / scale / MISSING
    note.unlink(missing_ok=True)
    if figures:
        note.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"{', '.join(names)}, because {reason}\n" for reason, names in figures.items())
        note.write_text("".join(lines), encoding="utf-8")


def duration(seconds: float) -> str:
    """Return a time in words, such as `9 min 41 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def headline(page: str) -> str:
    """Return what a page says before its first table or section: the counts, and the stamp if there
    is one.
    """
    first = takewhile(lambda line: not line.startswith(("|", "#")), page.splitlines()[2:])
    return " ".join(line for line in first if line)


def _line(label: str, text: str) -> str:
    return f"  {label:<12}{text}"
