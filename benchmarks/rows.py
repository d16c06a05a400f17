"""The rows of the table: what is compared, the ratio, and the goal for it."""

import operator
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cells import setup, training
from benchmarks.loops import bare_products, plain_loop
from benchmarks.timing import Ratio, paired
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.storage import metrics

CASE = ("case_study", Cell("elu", "full"))
FASHION = "fashion_mnist"
FULL, LOW_RANK = Cell("gelu", "full"), Cell("gelu", "s_big")
FEW, MANY = 10, 100
"""Steps of a full and of a low-rank network, of which a gradient more is taken."""
A_STEP_EACH = (MANY + 1) / (FEW + 1)
HOLDS = {"at least": operator.ge, "at most": operator.le}


class Row(NamedTuple):
    """One comparison; `goal` is what the ratio was to be, empty where nothing was asked for."""

    what: str
    ratio: str
    goal: str = ""
    met: bool | None = None


def steps(count: int) -> dict[str, Any]:
    """Return the change that trains for so many steps."""
    return {"training": {"steps": count}}


def rows() -> Iterator[Row]:
    """Yield every row about the CPU, each measured when it is asked for."""
    for measure in (
        against_a_plain_loop,
        full_step,
        low_rank_step,
        chunks,
        memory,
        observables,
        outside_training,
        growth,
    ):
        yield from measure()


def judged(what: str, ratio: Ratio, goal: str, bound: float, unit: str = "") -> Row:
    """Return a row whose goal, a key of `HOLDS` with a bound, is for the median."""
    return Row(what, f"{ratio}{unit}", f"{goal} {bound:g}{unit}", HOLDS[goal](ratio.middle, bound))


def against_a_plain_loop() -> Iterator[Row]:
    """Compare stacked training with the loop that others would write."""
    case = setup(*CASE, steps(100))
    ratio = paired(plain_loop(case), training(case, observed=True))
    yield Row(
        "plain PyTorch loop, a trial at a time, SVD of every layer at every step / stacked cell"
        " with its observables",
        str(ratio),
    )


def full_step() -> Iterator[Row]:
    """Compare full steps on Fashion-MNIST, 784 wide, 1,000 images, five trials, with what they
    cannot do without.
    """
    full = setup(FASHION, FULL, steps(FEW))
    yield judged(
        "full step on Fashion-MNIST / its matrix products alone",
        paired(training(full), bare_products(full)),
        "at most",
        1.2,
    )


def low_rank_step() -> Iterator[Row]:
    """Compare full and low-rank steps on Fashion-MNIST."""
    full, low_rank = setup(FASHION, FULL, steps(FEW)), setup(FASHION, LOW_RANK, steps(MANY))
    ratio = paired(training(full), training(low_rank)).scaled(A_STEP_EACH)
    yield judged("full step / low-rank step at r = 20", ratio, "at least", 15)


def chunks() -> Iterator[Row]:
    """Compare steps on 10,000 images, one trial, that go through a network whole and in the chunks
    of the settings.
    """
    few = {"trials": 1, "training": {"learning_rate": 5e-5}}
    for what, cell, count in (("full", FULL, 1), ("low-rank", LOW_RANK, FEW)):
        in_chunks = setup(FASHION, cell, few, steps(count), times=10)
        whole = setup(FASHION, cell, few, steps(count), {"samples_at_once": None}, times=10)
        size = in_chunks.job.cell_settings.samples_at_once
        ratio = paired(training(whole), training(in_chunks))
        yield Row(f"{what} step on 10,000 images, whole / in chunks of {size:,}", str(ratio))


def memory() -> Iterator[Row]:
    """Tell the peak memory of a full and of a low-rank job."""
    full, low_rank = (_peak_megabytes(cell) for cell in (FULL, LOW_RANK))
    yield Row(
        "peak memory of a job beyond that of the program, full / low-rank, which finds S_big with"
        " the full network",
        f"{full:.0f} MB / {low_rank:.0f} MB",
    )


def _peak_megabytes(cell: Cell) -> float:
    """Return the peak memory of training a cell in a process of its own, beyond what that has
    before.
    """
    command = [sys.executable, "-m", "benchmarks.rows", *cell]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def observables() -> Iterator[Row]:
    """Compare cells with and without what they observe at their configured cadence."""
    for name, cell, count in (
        (*CASE, 300),
        ("deep_whitened", Cell("elu", "full"), 300),
        (FASHION, FULL, 100),  # of few steps, those at the start and at the end are too many
        ("theory_setting", Cell("elu", "full"), 300),
    ):
        endless = {"training": {"steps": count, "stop_near_linear_fit": None}}
        case = setup(name, cell, endless)
        ratio = paired(training(case, observed=True), training(case))
        cost = Ratio(*(100 * (value - 1) for value in ratio))
        yield judged(f"cost of the observables of {name}", cost, "at most", 10, " %")


def outside_training() -> Iterator[Row]:
    """Tell how much of the time of a laptop run's jobs is not training, if there is one."""
    benchmarks = [
        path
        for place in ("laptop", "data")
        for path in Path(f"results/{place}/benchmarks").rglob("*.tsv")
    ]
    cells = list(Path("results/laptop/cells").rglob("*.parquet"))
    if not benchmarks or not cells:
        return
    jobs = sum(
        float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
        for path in benchmarks
    )
    trained = sum(cell.seconds for path in cells for cell in metrics.read(path).cells.values())
    share = 100 * (1 - trained / jobs)
    yield Row(
        "share of a laptop run's job seconds outside training",
        f"{share:.1f} %",
        "at most 15 %",
        share <= 15,
    )


def growth() -> Iterator[Row]:
    """Tell how the cost of a step grows."""
    for what, *changes in (
        ("10 trials / 1 trial", {"trials": 10}, {"trials": 1}),
        ("width 256 / width 64", {"network": {"width": 256}}, {"network": {"width": 64}}),
        ("N = 4,000 / N = 1,000", {"data": {"samples": 4000}}, {}),
    ):
        more, less = (training(setup(*CASE, steps(60), change)) for change in changes)
        yield Row(f"case study, {what}", str(paired(more, less)))


def _print_peak(cell: Cell) -> None:
    """Print by how many megabytes this process grows at most while it makes the networks of a cell
    and trains them.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # begins the peak anew
    before = _status("VmRSS")
    training(setup(FASHION, cell, steps(5)))()()
    print((_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    """Return a number of kilobytes that the system knows of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    _print_peak(Cell(*sys.argv[1:]))
