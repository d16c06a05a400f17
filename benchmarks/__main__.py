"""Measure every row and write the page: `make bench`; with `gpu` as argument the rows about a
GPU, with `heads` those about large heads, with `counts` what a step asks of a GPU.
"""

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from benchmarks.counts import COUNTED, counted
from benchmarks.gpu import gpu_rows
from benchmarks.large_heads import large_head_rows
from benchmarks.rows import Row, rows
from benchmarks.savings import TIMES, accuracies, savings
from lowrank_dynamics.report.rendering import markdown
from lowrank_dynamics.storage.provenance import processor
from lowrank_dynamics.storage.repository import code_version
from lowrank_dynamics.training.device import description, use_cpu

PERFORMANCE, LIBRARY = Path("docs/performance.md"), Path("docs/library.md")
START, START_GPU, START_HEADS, END = (
    "<!-- the last run of `make bench` -->",
    "<!-- the last run on a GPU -->",
    "<!-- the last run of large heads -->",
    "<!-- end -->",
)
COUNTS = "<!-- the last counts of a step -->"
SAVINGS, ACCURACIES = "<!-- what a head saves -->", "<!-- what is reached in the same time -->"
CODE = code_version()  # before this writes into the pages
MET = {True: "yes", False: "**no**", None: ""}
COMPARED = ("what", "median (range)", "goal", "met")
SAVED = (
    "head",
    "batch",
    "trained weights, full (millions)",
    "low-rank",
    "LoRA",
    "step, full / low-rank",
    "step, LoRA / low-rank",
)
ASKED = (
    "experiment",
    "cell",
    "operations",
    "reads",
    "uploaded",
    *(f"launches / arithmetic, {card}" for card in COUNTED),
)
REACHED = ("network", *(f"test accuracy after {seconds:g} seconds" for seconds in TIMES))


def main() -> None:
    """Measure on one core, or on the first GPU, what is asked for, or count what a step asks of a
    GPU, and put it into the pages.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_cpu(1)
    if sys.argv[1:] not in ([], ["gpu"], ["heads"], ["counts"]):
        sys.exit("usage: python -m benchmarks [gpu | heads | counts]")
    machine = f"{processor()}, one core"
    if sys.argv[1:] == ["counts"]:
        rows_of_counts = (kind.cells for kind in counted())
        write(PERFORMANCE, COUNTS, "the simulated device", ASKED, rows_of_counts)
    elif sys.argv[1:] == ["gpu"]:
        if not torch.cuda.is_available():
            sys.exit("torch finds no GPU here")
        device = torch.device("cuda", 0)
        write(PERFORMANCE, START_GPU, description(device), COMPARED, map(cells, gpu_rows(device)))
    elif sys.argv[1:] == ["heads"]:
        write(PERFORMANCE, START_HEADS, machine, COMPARED, map(cells, large_head_rows()))
    else:
        write(LIBRARY, SAVINGS, machine, SAVED, (saving.cells for saving in savings()))
        write(LIBRARY, ACCURACIES, machine, REACHED, accuracies())
        write(PERFORMANCE, START, machine, COMPARED, map(cells, rows()))


def cells(row: Row) -> tuple[str, ...]:
    """Return what the table says of a row."""
    return row.what, row.ratio, row.goal, MET[row.met]


def write(
    page: Path,
    start: str,
    machine: str,
    header: tuple[str, ...],
    measured: Iterable[tuple[str, ...]],
) -> None:
    """Put the rows, once measured, with what they were measured on into a page, between `start` and
    the next end.
    """
    lines = []
    for row in measured:
        lines.append(row)
        print(" | ".join(row), file=sys.stderr)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    said = f"{when}, version {CODE}, on {machine}, torch {torch.__version__}, {platform.system()}:"
    table = [said, "", *markdown(pd.DataFrame(lines, columns=header))]
    before, rest = page.read_text(encoding="utf-8").split(start)
    _, after = rest.split(END, maxsplit=1)
    page.write_text(
        "\n".join([f"{before}{start}", "", *table, "", f"{END}{after}"]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
