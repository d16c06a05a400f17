"""The commands of the stages from what comes from outside to the metrics of an experiment."""

import pkgutil
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import Configs, Output, Scale, app
from lowrank_dynamics.config import ConvolvedData, DrawnData, load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.fetching import content
from lowrank_dynamics.interruption import deferred

Experiment = Annotated[str, typer.Option(help="an experiment of the settings")]
Weights = Annotated[Path | None, typer.Option(help="the folder with the convolutions' weights that `fetch` wrote")]
Threads = Annotated[int, typer.Option(min=1, help="threads that torch may use")]


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="vgg16 or cifar10")],
    output: Annotated[Path, typer.Option(help="the folder to write")],
    allow_unverified: Annotated[bool, typer.Option(help="use data that cannot be checked")] = False,
) -> None:
    """Fetch and check what comes from outside; if it cannot be had, write why."""
    from lowrank_dynamics import fetching

    fetching.fetch(name, output, allow_unverified=allow_unverified)
    if reason := fetching.missing(output):
        typer.echo(reason, err=True)


@app.command()
def prepare(
    output: Output,
    experiment: Experiment,
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
    source: Annotated[Path | None, typer.Option(help="the folder with the images that `fetch` wrote")] = None,
) -> None:
    """Choose and verify the images of an experiment and write them to one file."""
    data = load_settings(scale, configs).experiment(experiment).data
    if isinstance(data, DrawnData):
        raise UserError(f"experiment {experiment} draws its data while it trains; there is nothing to prepare")
    write = pkgutil.resolve_name(data.prepared_by)
    if data.fetched_images is None:
        write(data.training_images, data.test_images, output)
    elif source is None:
        fetched = data.fetched_images
        raise UserError(f"experiment {experiment} needs {fetched}; name the folder that `fetch` wrote with --source")
    else:
        write(content(source), data.training_images, data.test_images, output)


@app.command()
def features(  # noqa: PLR0917 (a command's options)
    output: Output,
    experiment: Experiment,
    images: Annotated[Path, typer.Option(help="the file that `prepare` wrote")],
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
    weights: Weights = None,
    threads: Threads = 1,
) -> None:
    """Compute what the frozen convolutions of an experiment make of its images."""
    from lowrank_dynamics.devices import claimed_device, use_processor
    from lowrank_dynamics.vgg import features

    settings = load_settings(scale, configs)
    data = settings.experiment(experiment).data
    if not isinstance(data, ConvolvedData) or data.fine_tuned:
        raise UserError(f"experiment {experiment} has no frozen convolutions, and so no features")
    use_processor(threads)
    stored = weights and content(weights)
    with claimed_device(settings.device) as device:
        features.prepare(images, data, stored, output, device=device)


@app.command()
def train(  # noqa: PLR0917 (a command's options)
    output: Output,
    experiment: Experiment,
    cell: Annotated[str, typer.Option(help="a cell, as `check` lists them")],
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
    data: Annotated[
        Path | None, typer.Option(help="the file that `prepare` or `features` wrote, where the experiment needs one")
    ] = None,
    weights: Weights = None,
    threads: Threads = 1,
    checkpoint: Annotated[
        Path | None, typer.Option(help="a file to keep the state in; a training that was cut off goes on from it")
    ] = None,
    every: Annotated[float, typer.Option(help="seconds between two writings of the state", min=0)] = 60,
) -> None:
    """Train all trials of one cell and write what is measured on the way."""
    from lowrank_dynamics import metrics
    from lowrank_dynamics.cells import CellRun
    from lowrank_dynamics.devices import claimed_device, use_processor

    started = datetime.now(UTC)
    settings = load_settings(scale, configs)
    chosen = settings.cell(experiment, cell)
    use_processor(threads)
    trials = range(settings.experiment(experiment).trials)
    stored = weights and content(weights)
    with claimed_device(settings.device) as device:
        run = CellRun(settings, experiment, chosen, trials, data, stored, device)
        kept = run.checkpoint(checkpoint, every) if checkpoint else None
        with deferred(kept.interrupt) if kept else nullcontext():
            table = run.table(kept)
        origin = run.provenance(scale, threads=threads, started=started)
    metrics.write(metrics.Metrics(table, origin), output)
    if kept:
        kept.remove()


@app.command()
def aggregate(cells: list[Path], output: Output) -> None:
    """Join the metrics of an experiment's cells into one file."""
    from lowrank_dynamics import metrics

    metrics.write(metrics.aggregate(cells), output)
