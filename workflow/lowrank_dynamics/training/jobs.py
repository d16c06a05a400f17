"""One job from settings to a table of measurements: it trains, keeps a checkpoint, and knows its
provenance.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import torch

from lowrank_dynamics.source_code import sources
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import CellOrigin, machine, program, sha256
from lowrank_dynamics.storage.tensors import write_tensors
from lowrank_dynamics.training.build import Job, observers, setup_of
from lowrank_dynamics.training.checkpoints import Checkpoint
from lowrank_dynamics.training.device import description, failures_told, peak_megabytes
from lowrank_dynamics.training.loop import train

SMALLER = (
    "lower trials, training.batch_size, data.size or the number of images, or run fewer jobs at"
    " once"
)


def train_job(
    job: Job,
    scale: str,
    checkpoint: Checkpoint | None,
    *,
    threads: int,
    started: datetime,
    trained: Path | None = None,
) -> Metrics:
    """Train the cell of a job and return its metrics; with a `checkpoint`, an interrupted training
    resumes.

    The trained parameters are written to the file `trained`, if it is named, by their names in the
    network, trials stacked on their first axis. Raises UserError, which says what to lower, if the
    device has too little memory, and if the device fails; the last state stays.
    """
    with failures_told(job.title, job.device, SMALLER):
        setup = setup_of(job)
        measurements = train(setup, observers(setup), checkpoint)
        table = metrics.table(job.name, job.cell, measurements, job.trials[0])
    if trained is not None:
        weights = {}
        for name, tensor in setup.network.state_dict().items():
            weights[name] = tensor.cpu().contiguous()
        write_tensors(weights, setup.data.origin, trained)
    settings = job.cell_settings
    took = datetime.now(UTC) - started
    origin = CellOrigin(
        scale=scale,
        variant=job.cell.variant,
        settings=settings,
        settings_sha256=settings.digest,
        data=setup.data.origin,
        **program(),
        machine=machine(description(job.device), threads),
        started=started.isoformat(timespec="seconds"),
        seconds=round(took.total_seconds(), 1),
        megabytes=peak_megabytes(job.device),
    )
    return Metrics(table, {job.cell.name: origin})


def checkpoint_of(job: Job, path: Path, every: float) -> Checkpoint:
    """Return the checkpoint of a job at `path`, written at most once in `every` seconds.

    Its key covers the job's settings, data and code, the version of torch and the number of
    threads.
    """
    settings = job.cell_settings
    code = sources("training.jobs", *job.settings.modules(job.name, job.cell))
    files = [*job.files, *map(Path, code)]
    parts = [job.name, job.cell.name, str(job.trials), settings.digest]
    parts += job.settings.registered(job.name, job.cell)
    parts += [sha256(file) for file in files if file.exists()]
    parts += [torch.__version__, str(torch.get_num_threads())]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Checkpoint(path, key, every, description(job.device))
