"""Measure every row and write the page: `make bench`."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.rows import rows
from lowrank_dynamics.devices import use_processor
from lowrank_dynamics.pages import markdown
from lowrank_dynamics.provenance import code_version

PAGE = Path("docs/performance.md")
START, END = "<!-- the last run of `make bench` -->", "<!-- end -->"


def main() -> None:
    """Measure on one core and put the table into the page."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_processor(1)
    lines = []
    for row in rows():
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        lines.append((row.what, row.ratio, row.goal, met))
        print(" | ".join(lines[-1]), file=sys.stderr)
    machine = f"{_processor()}, one core, torch {torch.__version__}, {platform.system()}"
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    said = f"{when}, version {code_version()}, on {machine}:"
    table = [said, "", *markdown(("what", "median (range)", "goal", "met"), lines)]
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text("\n".join([f"{before}{START}", "", *table, "", f"{END}{rest.split(END)[1]}"]))


def _processor() -> str:
    """Return the model of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
