"""The commands of the stages from downloads to the metrics of an experiment."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import FOR_JOBS, AnyRunName, Output, Overrides, RunName, app
from lowrank_dynamics.cli.interruption import deferred
from lowrank_dynamics.config.cell import Cell, shard_of
from lowrank_dynamics.config.registries import CONVOLUTIONS, IMAGES
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.data import external
from lowrank_dynamics.errors import UserError

Weights = Annotated[Path | None, typer.Option(help="the folder of weights that `fetch` wrote")]
Images = Annotated[int, typer.Option(help="how many, a tenth of them from each class", min=10)]
Settings = Annotated[str | None, typer.Option(help="the digest its settings must have")]
Code = Annotated[str | None, typer.Option(help="the digest its code must have")]
Threads = Annotated[int, typer.Option(min=1, help="threads that torch may use")]


@app.command(rich_help_panel=FOR_JOBS)
def fetch(
    name: Annotated[str, typer.Argument(help="vgg16 or cifar10")],
    output: Annotated[Path, typer.Option(help="the folder to write")],
    allow_unverified: Annotated[bool, typer.Option(help="use data that cannot be checked")] = False,
) -> None:
    """Download and check weights or images; if they are unavailable, write why."""
    external.fetch(name, output, allow_unverified=allow_unverified)
    if reason := external.missing(output):
        typer.echo(reason, err=True)


@app.command(rich_help_panel=FOR_JOBS)
def prepare(
    output: Output,
    images: Annotated[str, typer.Argument(help="fashion_mnist, digits or cifar10")],
    training_images: Images,
    test_images: Images,
    source: Annotated[Path | None, typer.Option(help="the folder that `fetch` wrote")] = None,
) -> None:
    """Choose and verify images and write them to one file."""
    from lowrank_dynamics.data.loading import data_module

    if images not in IMAGES:
        raise UserError(f"there are no images {images!r}; choose one of {', '.join(IMAGES)}")
    fetched = source and external.content(source)
    data_module(images).prepare(training_images, test_images, output, fetched)


@app.command(rich_help_panel=FOR_JOBS)
def features(
    output: Output,
    images: Annotated[Path, typer.Option(help="the file that `prepare` wrote")],
    part: Annotated[str, typer.Option(help="split, first and last image, such as train-0-1999")],
    convolutions: Annotated[str, typer.Option(help="vgg16 or tiny")],
    size: Annotated[int, typer.Option(help="pixels a side, to which images are resized", min=1)],
    pool: Annotated[int, typer.Option(help="cells a side of the average at the end", min=1)],
    weights: Weights = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Threads = 1,
) -> None:
    """Compute the features of some images with frozen convolutions."""
    from lowrank_dynamics.config.parts import Part
    from lowrank_dynamics.data.convolved import prepare_part
    from lowrank_dynamics.training.device import claimed_device, failures_told, use_cpu

    if convolutions not in CONVOLUTIONS:
        raise UserError(
            f"there are no convolutions {convolutions!r}; choose one of {', '.join(CONVOLUTIONS)}"
        )
    smallest = CONVOLUTIONS[convolutions].smallest
    if size < smallest:
        raise UserError(f"--size must be at least {smallest} for {convolutions}, got {size}")
    images_of_part = Part.named(part)
    use_cpu(threads)
    stored = weights and external.content(weights)
    with (
        claimed_device(device) as claimed,
        failures_told(f"the part {part} of the features", claimed, "run fewer jobs at once"),
    ):
        prepare_part(
            images,
            convolutions,
            stored,
            output,
            part=images_of_part,
            size=size,
            pool=pool,
            device=claimed,
        )


@app.command(rich_help_panel=FOR_JOBS)
def train(
    output: Output,
    experiment: Annotated[str, typer.Option(help="an experiment of the settings")],
    cell: Annotated[str, typer.Option(help="a cell, as `check` lists them")],
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
    data: Annotated[Path | None, typer.Option(help="what `prepare` or `features` wrote")] = None,
    weights: Weights = None,
    trials: Annotated[str | None, typer.Option(help="such as 0-4; all if left out")] = None,
    threads: Threads = 1,
    checkpoint: Annotated[Path | None, typer.Option(help="where to save and resume")] = None,
    trained: Annotated[
        Path | None, typer.Argument(help="a safetensors file to write the trained weights to")
    ] = None,
    every: Annotated[float, typer.Option(help="seconds between two checkpoints", min=0)] = 60,
    planned: Settings = None,
    planned_code: Code = None,
) -> None:
    """Train trials of one cell and write the measurements."""
    from lowrank_dynamics.source_code import code_sha256
    from lowrank_dynamics.storage import metrics
    from lowrank_dynamics.training.build import Job
    from lowrank_dynamics.training.device import claimed_device, use_cpu
    from lowrank_dynamics.training.jobs import checkpoint_of, train_job

    started = datetime.now(UTC)
    run = Run.named(name, overrides=overrides)
    trained_cell = _cell_as_planned(run, experiment, cell, planned)
    modules = run.settings.modules(experiment, trained_cell)
    if planned_code and planned_code != code_sha256("training.jobs", *modules):
        raise UserError("the code changed during the run; run again to train with the new one")
    use_cpu(threads)
    shard = _shard(run, experiment, trials)
    stored_weights = weights and external.content(weights)
    with claimed_device(run.settings.device) as device:
        job = Job(run.settings, experiment, trained_cell, shard, data, stored_weights, device)
        kept = checkpoint_of(job, checkpoint, every) if checkpoint else None
        with deferred(kept.interrupt) if kept else nullcontext():
            measured = train_job(
                job, run.name, kept, threads=threads, started=started, trained=trained
            )
    if trained is None:  # those of an earlier training are not of the network that is measured now
        output.with_suffix(".safetensors").unlink(missing_ok=True)
    metrics.write(measured, output)
    if kept:
        kept.remove()


def _cell_as_planned(run: Run, experiment: str, cell: str, planned: str | None) -> Cell:
    """Return a cell. Raises UserError if its settings are not those with which a run planned it."""
    changed = f"the settings in {run.configs} changed during the run"
    try:
        trained_cell = run.settings.cell(experiment, cell)
    except UserError as error:
        if planned is None:
            raise
        raise UserError(f"{changed}, and now: {error}") from error
    if planned and run.settings.of_variant(experiment, trained_cell.variant).digest != planned:
        raise UserError(
            f"{changed}, those of {experiment} too; run again to train with the new ones"
        )
    return trained_cell


def _shard(run: Run, experiment: str, trials: str | None) -> range:
    """Return the named trials, or all. Raises UserError for trials that the experiment lacks."""
    count = run.settings.experiment(experiment).trials
    if trials is None:
        return range(count)
    shard = shard_of(trials)
    if shard.stop > count:
        raise UserError(
            f"{experiment} has {count} trials, numbered from 0; there are no trials {trials}"
        )
    return shard


@app.command(rich_help_panel=FOR_JOBS)
def aggregate(
    shards: Annotated[list[Path], typer.Argument(help="what the jobs wrote: CELL/TRIALS.parquet")],
    output: Output,
    name: AnyRunName = None,
    trials: Annotated[int | None, typer.Option(help="how many each cell must have", min=1)] = None,
) -> None:
    """Join the metrics of an experiment's jobs into one file named after it."""
    from lowrank_dynamics.storage import metrics
    from lowrank_dynamics.storage.aggregation import aggregate as joined

    metrics.write(joined(shards, output.stem, name, trials), output)
