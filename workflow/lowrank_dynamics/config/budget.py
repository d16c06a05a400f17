"""The expected cost of a whole run, and which of its jobs are impossible."""

import heapq
import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from lowrank_dynamics.config.cards import memory, speed
from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.config.resources import Demand, features_demand, training_demand
from lowrank_dynamics.config.settings import Cell, Settings

MACHINES = (1, 8, 30)
"""Concurrent GPUs for which a run's duration is stated."""
ATTEMPTS = 4
"""Attempts per job in the Slurm profile; Snakemake does not tell a workflow how often it
retries.
"""
UNITS = (("days", 86_400), ("hours", 3_600), ("min", 60))


class Job(NamedTuple):
    """One job of an experiment: computing a part of the features, or training the trials `shard` of
    a `cell`.
    """

    experiment: str
    cell: Cell | None
    shard: range
    demand: Demand

    @property
    def work(self) -> str:
        """What the job does; cells that differ only in activation do the same."""
        return "-".join(part for part in self.cell[1:] if part != BASE) if self.cell else "features"


def jobs_of(settings: Settings, name: str) -> Iterator[Job]:
    """Yield the cluster jobs of the experiment called `name`, in the order of the settings."""
    experiment = settings.experiment(name)
    for part in experiment.data.parts:
        yield Job(name, None, range(0), features_demand(settings, name, part))
    for cell in settings.cells(name):
        for shard in experiment.shards:
            yield Job(name, cell, shard, training_demand(settings, name, cell, shard))


def duration(jobs: Iterable[Job], machines: int) -> float:
    """Return the seconds until the last job ends if each free machine takes the longest remaining
    job.
    """
    ends = [0.0] * machines
    for seconds in sorted((job.demand.seconds for job in jobs), reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def tables(settings: Settings) -> Iterator[str]:
    """Yield the lines of one table per experiment, with the cost of its jobs, and a final line for
    all.
    """
    every = [job for name in settings.experiments for job in jobs_of(settings, name)]
    for name, own in groupby(every, key=lambda job: job.experiment):
        by_work: dict[tuple[str, int], list[Job]] = {}
        for job in own:
            by_work.setdefault((job.work, len(job.shard)), []).append(job)
        columns = f"{'jobs':>6}{'expected':>12}{'GPU memory':>14}{'requested':>13}"
        yield f"{name:30}{columns}{'host memory':>14}"
        yield from (_row(work, trials, jobs) for (work, trials), jobs in by_work.items())
        yield ""
    unit = "CPU" if settings.device == "cpu" else "GPU"
    hours = sum(job.demand.seconds for job in every) / 3600
    whole = ", ".join(f"{words(duration(every, count))} on {count}" for count in MACHINES)
    yield (
        f"{len(every)} jobs, {hours:,.{max(0, 2 - len(str(int(hours))))}f} {unit} hours: {whole} at"
        " a time"
    )


def _row(work: str, trials: int, jobs: list[Job]) -> str:
    demand = jobs[0].demand
    label = f"  {work}" + (f", {trials} trial{'s' * (trials > 1)}" if trials else "")
    device = _gigabytes(demand.device_megabytes) if demand.device_megabytes else "none"
    requested, host = words(60 * demand.minutes), _gigabytes(demand.megabytes)
    return (
        f"{label:30}{len(jobs):6}{words(demand.seconds):>12}{device:>14}{requested:>13}{host:>14}"
    )


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"


def words(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    unit, size = next((each for each in UNITS if seconds >= 2 * each[1]), ("s", 1))
    return f"{seconds / size:.{0 if size == 1 else 1}f} {unit}"


def impossible(settings: Settings, longest: float) -> Iterator[str]:
    """Yield a sentence about each experiment with jobs expected to be too long or too large, and
    the remedy.

    Too long means longer than all attempts together, of at most `longest` minutes each; too large
    means more than the GPU's memory.
    """
    megabytes = memory(settings.gpu) if settings.device != "cpu" else math.inf
    for name in settings.experiments:
        jobs = list(jobs_of(settings, name))
        slowest = max(jobs, key=lambda job: job.demand.seconds)
        largest = max(jobs, key=lambda job: job.demand.device_megabytes)
        if slowest.demand.seconds > 60 * ATTEMPTS * longest:
            allowed = f"the {ATTEMPTS} attempts of a job have {words(60 * ATTEMPTS * longest)}"
            takes = f"is expected to take {words(slowest.demand.seconds)}, and {allowed}"
            yield f"{name} {slowest.work} {takes}; {_faster(settings, slowest)}"
        if largest.demand.device_megabytes > megabytes:
            needs = (
                f"needs some {_gigabytes(largest.demand.device_megabytes)} of a GPU that has"
                f" {_gigabytes(megabytes)}"
            )
            yield f"{name} {largest.work} {needs}; {_smaller(settings, largest)}"


def _faster(settings: Settings, job: Job) -> str:
    """Return the setting that shortens a job."""
    training = settings.experiment(job.experiment).training
    bfloat16_is_faster = speed(settings.gpu, "bfloat16") > speed(settings.gpu, "float32")
    if len(job.shard) > 1:
        return "`trials_per_job: 1` makes jobs of one trial"
    if _trains_convolutions(settings, job) and not training.mixed_precision and bfloat16_is_faster:
        return "`training.mixed_precision: true` computes its convolutions in bfloat16"
    return "`gpu` names a faster one, and `retries` and `runtime` in the profile allow more time"


def _smaller(settings: Settings, job: Job) -> str:
    """Return the setting that reduces a job's GPU memory."""
    if len(job.shard) > 1:
        return "`trials_per_job: 1` makes jobs of one trial"
    if job.cell and settings.experiment(job.experiment).samples_at_once is None:
        return (
            f"`samples_at_once: {32 if _trains_convolutions(settings, job) else 1000}` takes its"
            " samples in chunks"
        )
    return "`gpu` names one with more memory"


def _trains_convolutions(settings: Settings, job: Job) -> bool:
    return job.cell is not None and getattr(
        settings.experiment(job.experiment).data, "fine_tuned", False
    )
