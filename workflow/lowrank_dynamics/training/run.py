"""One job from settings to a table of measurements: it trains, keeps a checkpoint, and knows its provenance."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import torch

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.code import sources
from lowrank_dynamics.storage.metrics import Measurement, Metrics
from lowrank_dynamics.storage.provenance import cell_origin, sha256
from lowrank_dynamics.training.build import Job, Start, observers, start_of, trained_network
from lowrank_dynamics.training.checkpoints import Checkpoint, training_key
from lowrank_dynamics.training.device import description, peak_megabytes
from lowrank_dynamics.training.loop import train
from lowrank_dynamics.training.observables.observer import Observer


def run(job: Job, scale: str, checkpoint: Checkpoint | None, *, threads: int, started: datetime) -> Metrics:
    """Train the cell of a job and return its metrics; with a `checkpoint`, an interrupted training resumes.

    Raises UserError, which says what to lower, if the device has too little memory.
    """
    try:
        start = start_of(job)
        table = metrics.table(job.name, job.cell, measurements(start, observers(start), checkpoint))
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"{job.title} does not fit into the memory of the device {description(job.device)}; lower trials, "
            "training.batch_size, data.size or the number of images, or run fewer jobs at once"
        ) from error
    origin = cell_origin(
        job.settings.of_variant(job.name, job.cell.variant),
        scale,
        job.cell.variant,
        data=start.data.origin,
        device=description(job.device),
        megabytes=peak_megabytes(job.device),
        threads=threads,
        started=started,
    )
    return Metrics(table, {job.cell.name: origin})


def measurements(
    start: Start, watching: Sequence[Observer], checkpoint: Checkpoint | None = None
) -> Iterator[Measurement]:
    """Train from a start and yield what the observers measure, the outcome being the same every time."""
    job = start.job
    return train(
        trained_network(start),
        start.data.train,
        job.experiment.training,
        watching,
        generators=job.generators("batches"),
        check_every=job.experiment.observe.loss,
        name=job.title,
        checkpoint=checkpoint,
    )


def checkpoint_of(job: Job, path: Path, every: float) -> Checkpoint:
    """Return the checkpoint of a job at `path`, written at most every so many seconds.

    It is of the job's settings, code, data and device alone.
    """
    registered = job.settings.registered(job.name, job.cell)
    parts = [job.name, job.cell.name, str(job.trials), job.settings.of_variant(job.name, job.cell.variant).digest]
    parts += [*registered, description(job.device)]
    parts += [sha256(file) for file in (job.stored, job.weights) if file]
    code = sources("training.run", *job.settings.modules(job.name, job.cell))
    return Checkpoint(path, training_key(parts, code), every)
