"""The stages as commands; each rule of the workflow is one of these lines, which a terminal runs just as well."""

import logging
import pkgutil
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.config import ConvolvedData, DrawnData, load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.fetching import content
from lowrank_dynamics.interruption import deferred, end_when_asked

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Scale = Annotated[str, typer.Option(help="smoke, laptop or paper, or such as laptop/sensitivity/width_64")]
Configs = Annotated[Path, typer.Option(help="the folder of the settings")]
Output = Annotated[Path, typer.Option(help="the file to write")]
Experiment = Annotated[str, typer.Option(help="an experiment of the settings")]
Weights = Annotated[Path | None, typer.Option(help="the folder with the convolutions' weights that `fetch` wrote")]
Threads = Annotated[int, typer.Option(min=1, help="threads that torch may use")]


@app.command()
def check(scale: Scale = "laptop", configs: Configs = Path("configs")) -> None:
    """Check the settings of a scale and list the cells they ask for."""
    settings = load_settings(scale, configs)
    for name, experiment in settings.experiments.items():
        cells = ", ".join(cell.name for cell in settings.cells(name))
        typer.echo(f"{name}: {experiment.trials} trials, {experiment.training.steps} steps at most; {cells}")


@app.command("demand")
def show_demand(scale: Scale = "paper", configs: Configs = Path("configs")) -> None:
    """Print what the first attempt of each job of training asks of a cluster."""
    from lowrank_dynamics.demand import of_training

    settings = load_settings(scale, configs)
    for name in settings.experiments:
        for cell in settings.cells(name):
            asked = of_training(settings, name, cell)
            brief = ", with others" if asked.is_brief else ""
            typer.echo(f"{name} {cell.name}: {asked.minutes} minutes, {asked.megabytes / 1000:.1f} GB{brief}")


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
    import torch

    from lowrank_dynamics.devices import claimed_device
    from lowrank_dynamics.vgg import features

    settings = load_settings(scale, configs)
    data = settings.experiment(experiment).data
    if not isinstance(data, ConvolvedData) or data.fine_tuned:
        raise UserError(f"experiment {experiment} has no frozen convolutions, and so no features")
    torch.set_num_threads(threads)
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
    import torch

    from lowrank_dynamics import metrics
    from lowrank_dynamics.cells import CellRun
    from lowrank_dynamics.devices import claimed_device, description, peak_megabytes
    from lowrank_dynamics.provenance import provenance

    started = datetime.now(UTC)
    settings = load_settings(scale, configs)
    chosen = settings.cell(experiment, cell)
    torch.set_num_threads(threads)
    trials = range(settings.experiment(experiment).trials)
    stored = weights and content(weights)
    with claimed_device(settings.device) as device:
        run = CellRun(settings, experiment, chosen, trials, data, stored, device)
        kept = run.checkpoint(checkpoint, every) if checkpoint else None
        with deferred(kept.interrupt) if kept else nullcontext():
            table = run.table(kept)
        origin = provenance(
            settings,
            scale,
            experiment,
            chosen.variant,
            data_origin=run.data.origin,
            device=description(device),
            megabytes=peak_megabytes(device),
            threads=threads,
            started=started,
        )
    metrics.write(metrics.Metrics(table, origin), output)
    if kept:
        kept.remove()


@app.command()
def aggregate(cells: list[Path], output: Output) -> None:
    """Join the metrics of an experiment's cells into one file."""
    from lowrank_dynamics import metrics

    metrics.write(metrics.aggregate(cells), output)


@app.command()
def figure(
    name: str,
    metrics: Annotated[list[Path], typer.Option(help="the metrics of the figure's experiments, one option each")],
    output: Annotated[Path, typer.Option(help="the file to write, without its ending")],
) -> None:
    """Draw one figure as PDF, SVG and PNG."""
    from lowrank_dynamics.figures.draw import draw

    draw(name, metrics, output)


@app.command()
def claims(
    output: Annotated[Path, typer.Option(help="the Parquet file to write; the page to read lies beside it")],
    metrics: Annotated[
        list[Path] | None, typer.Argument(help="the metrics of experiments, each file named after its own")
    ] = None,
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
) -> None:
    """Give a verdict on every claim about the experiments."""
    from lowrank_dynamics import metrics as stored
    from lowrank_dynamics.claims import files, table
    from lowrank_dynamics.claims.statements import load_claims
    from lowrank_dynamics.provenance import of_verdicts

    settings = load_settings(scale, configs)
    measured = {path.stem: stored.read(path).within(**settings.experiment(path.stem).judged) for path in metrics or []}
    every = {name: measured.get(name) for name in settings.experiments}
    found = table.claims_table(load_claims(configs / "claims.yaml"), every, scale)
    unverified = sorted({name for each in measured.values() for name in each.unverified})
    origin = of_verdicts(scale, configs / "claims.yaml", {name: each.provenance for name, each in measured.items()})
    files.write(found, table.as_page(found, scale, unverified), {**origin, "unverified": unverified}, output)


@app.command()
def verdicts(
    table: Annotated[Path, typer.Argument(help="the file that `claims` wrote")],
    strict: Annotated[bool, typer.Option(help="fail if a claim is not reproduced")] = False,
) -> None:
    """Print how many claims have which verdict."""
    from lowrank_dynamics.claims.files import read
    from lowrank_dynamics.claims.table import COLUMNS, summary
    from lowrank_dynamics.claims.verdicts import Verdict

    found = read(table, COLUMNS)
    typer.echo(summary(found))
    failed = found.loc[found["claim_verdict"] == Verdict.NOT_REPRODUCED, "claim"].unique()
    if strict and len(failed):
        raise UserError(f"not reproduced: {', '.join(failed)}; {table.with_suffix('.md')} has the numbers")


@app.command()
def sensitivity(
    declared: Annotated[Path, typer.Argument(help="the verdicts at the declared values, which `claims` wrote")],
    alternatives: Annotated[list[Path], typer.Argument(help="those of alternatives, each in a folder named after it")],
    output: Annotated[Path, typer.Option(help="the Parquet file to write; the page to read lies beside it")],
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
) -> None:
    """Compare the verdicts at the declared values with those of the alternatives."""
    from lowrank_dynamics import sensitivity
    from lowrank_dynamics.claims import files
    from lowrank_dynamics.claims.table import COLUMNS
    from lowrank_dynamics.config import load_study
    from lowrank_dynamics.provenance import code_version

    study = load_study(configs)
    tables = {path.parent.name: files.read(path, COLUMNS) for path in alternatives}
    compared = sensitivity.compare(files.read(declared, COLUMNS), tables, study)
    unverified = sorted({name for path in (declared, *alternatives) for name in files.read_unverified(path)})
    origin = {"scale": scale, "code": code_version(), "unverified": unverified}
    files.write(compared, sensitivity.as_page(compared, study, scale, unverified), origin, output)


@app.command()
def card(  # noqa: PLR0917 (a command's options)
    name: str,
    metrics: Annotated[list[Path], typer.Option(help="the metrics of the figure's experiments, one option each")],
    picture: Annotated[Path, typer.Option(help="the figure as PNG")],
    claims: Annotated[Path, typer.Option(help="the file that `claims` wrote")],
    caption: Annotated[Path, typer.Option(help="the file that says what to look for")],
    output: Output,
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
) -> None:
    """Write the page of one figure: what to look for, verdicts, what the scale reduced, what produced it."""
    from lowrank_dynamics.claims.files import read
    from lowrank_dynamics.claims.table import COLUMNS
    from lowrank_dynamics.provenance_files import read_provenance
    from lowrank_dynamics.report.cards import write_card

    write_card(
        name,
        scale,
        picture=picture,
        caption=caption.read_text(),
        verdicts=read(claims, COLUMNS),
        origins=[read_provenance(path) for path in metrics],
        settings=load_settings(scale, configs),
        paper=load_settings("paper", configs),
        path=output,
    )


@app.command()
def claims_page(
    claims: Annotated[Path, typer.Argument(help="the file that `claims` wrote")],
    output: Output,
    scale: Scale = "laptop",
) -> None:
    """Write the verdicts as a page with a field to search them."""
    from lowrank_dynamics.claims.files import read, read_unverified
    from lowrank_dynamics.claims.table import COLUMNS
    from lowrank_dynamics.report.claims_page import write_claims_page

    write_claims_page(read(claims, COLUMNS), scale, read_unverified(claims), output)


@app.command("archive")
def make_archive(
    scale: Scale = "laptop", output: Annotated[Path, typer.Option(help="the folder to write to")] = Path("archive")
) -> None:
    """Put sources, settings and results into one file to publish; run it in the project's root.

    It warns of results that were not made by the code of the commit, and of figures that the run does not have.
    """
    from textwrap import shorten

    from lowrank_dynamics.archive import GUIDE, write_archive

    written = write_archive(Path(), scale, output)
    for remark in written.remarks:
        typer.secho(f"warning: {shorten(remark, 200, placeholder=f' ... ({GUIDE} has all)')}", fg="yellow", err=True)
    typer.echo(f"{written.path}: {written.files} files, {written.path.stat().st_size / 1e6:.1f} MB")


@app.command("check-archive")
def check_archive(folder: Annotated[Path, typer.Argument(help="the folder that an archive was unpacked to")]) -> None:
    """Check that an archive is as it was made, says what produced it, and gives the same verdicts again."""
    from lowrank_dynamics.archive_check import check

    typer.echo(check(folder))


@app.command("provenance")
def show_provenance(file: Annotated[Path, typer.Argument(help="a Parquet file or a figure of a run")]) -> None:
    """Print what produced a file: settings, data and their sources, code, libraries, machine."""
    import yaml

    from lowrank_dynamics.provenance import concise
    from lowrank_dynamics.provenance_files import read_provenance

    typer.echo(yaml.safe_dump(concise(read_provenance(file)), sort_keys=False, allow_unicode=True, width=120), nl=False)


def main() -> None:
    """Run the command line; what the user can mend ends it with one sentence and exit status 1.

    So does what the machine refuses: a full disk, a folder that may not be written.
    """
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("lowrank_dynamics").setLevel(logging.INFO)
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of fonts without dates
    try:
        end_when_asked()
        app(prog_name="lowrank-dynamics")
    except UserError as error:
        _end(str(error), error.status)
    except OSError as error:
        where, why = error.filename or "a file", error.strerror or error
        _end(f"{where} cannot be read or written ({why}); mend that and run again, nothing is lost")


def _end(sentence: str, status: int = 1) -> None:
    """Say why the command ends; on the standard output if the log, which lies on the same disk, is full too."""
    try:
        typer.secho(f"error: {sentence}", fg="red", err=True)
    except OSError:
        typer.secho(f"error: {sentence}", fg="red")
    sys.exit(status)
