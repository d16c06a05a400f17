"""The closing block of a run: its results, and which files are older than what they show."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage.embedded import read_provenance

OUT_OF_DATE = "older than some of what it shows; a run without a target makes it anew"


def outcome(run: Run, seconds: float | None = None) -> Iterator[str]:
    """Yield the lines of the block: how long the run took, its figures, what to read about them,
    what is missing.

    Nothing if there are no figures.
    """
    figures = list(run.figures.glob("*.pdf"))
    if not figures:
        return
    took = "" if seconds is None else f" took {duration(seconds)}"
    yield f"The run at {run.name} scale{took}"
    yield _line("figures", f"{len(figures)} in {_relative(run.figures, run)}/")
    verdicts = [run.table("claims"), run.table("sensitivity"), run.beyond.table("claims")]
    if run.report.exists():
        said = OUT_OF_DATE if _is_older(run.report, [*figures, *verdicts]) else ""
        yield _page_line(run, run.report, said)
    measured = list(run.metrics_folder.glob("*.parquet"))
    alternatives = list((run.results / "sensitivity").glob("*/claims.parquet"))
    shown = {"claims": measured, "comparison": measured, "sensitivity": alternatives}
    for name, sources in shown.items():
        page = run.page(name)
        if page.exists():
            is_older = _is_older(page, sources)
            yield _page_line(run, page, OUT_OF_DATE if is_older else headline(run.table(name)))
    yield from missing(run)


def _page_line(run: Run, page: Path, said: str) -> str:
    place = _relative(page, run)
    return _line(page.stem, f"{place}: {said}" if said else place)


def _relative(path: Path, run: Run) -> str:
    return path.relative_to(run.root).as_posix()


def _is_older(page: Path, sources: Iterable[Path]) -> bool:
    """Return whether any of the files that a page shows was written after it."""
    written = page.stat().st_mtime
    return any(source.exists() and source.stat().st_mtime > written for source in sources)


def headline(table: Path) -> str:
    """Return the summary in a table's provenance, with the unverified data if there are any; why
    not, if it cannot be read.
    """
    try:
        origin = read_provenance(table)
    except UserError as error:
        return str(error)
    words = [origin.get("summary", "")]
    if origin.get("unverified"):
        words.append(f"Unverified data: {', '.join(origin['unverified'])}.")
    return " ".join(words)


def missing(run: Run) -> Iterator[str]:
    """Yield a line for each reason that the last run could not draw some figures."""
    if run.missing.exists():
        for line in run.missing.read_text(encoding="utf-8").splitlines():
            yield _line("missing", line)


def note_missing(run: Run, figures: Mapping[str, Sequence[str]] | None) -> None:
    """Record, for the outcome, which figures a run could not draw, by reason; nothing if it drew
    all. None leaves the record of the run before.
    """
    if figures is None:
        return
    run.missing.unlink(missing_ok=True)
    if not figures:
        return
    lines = ""
    for reason, names in figures.items():
        lines += f"{', '.join(names)}, because {reason}\n"
    run.missing.parent.mkdir(parents=True, exist_ok=True)
    run.missing.write_text(lines, encoding="utf-8")


def duration(seconds: float) -> str:
    """Return a time in words, such as `9 min 41 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _line(label: str, text: str) -> str:
    return f"  {label:<12}{text}"
