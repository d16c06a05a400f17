"""The stages as commands; each rule of the workflow is one of these lines, which a terminal runs just as well."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.config import Cell, FashionMnistData, load_settings
from lowrank_dynamics.errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Scale = Annotated[str, typer.Option(help="smoke, laptop or paper")]
Configs = Annotated[Path, typer.Option(help="the folder of the settings")]
Output = Annotated[Path, typer.Option(help="the file to write")]
Experiment = Annotated[str, typer.Option(help="an experiment of the settings")]


@app.command()
def check(scale: Scale = "laptop", configs: Configs = Path("configs")) -> None:
    """Check the settings of a scale and list the cells they ask for."""
    settings = load_settings(scale, configs)
    for name, experiment in settings.experiments.items():
        cells = ", ".join(cell.name for cell in settings.cells(name))
        typer.echo(f"{name}: {experiment.trials} trials, {experiment.training.steps} steps at most; {cells}")


@app.command()
def prepare(
    output: Output, experiment: Experiment, scale: Scale = "laptop", configs: Configs = Path("configs")
) -> None:
    """Choose and verify the images of an experiment and write them to one file."""
    from lowrank_dynamics.data import fashion_mnist

    data = load_settings(scale, configs).experiment(experiment).data
    if not isinstance(data, FashionMnistData):
        raise UserError(f"experiment {experiment} draws its data while it trains; there is nothing to prepare")
    fashion_mnist.prepare(data.training_images, data.test_images, output)


@app.command()
def train(  # noqa: PLR0917 (a command's options)
    output: Output,
    experiment: Experiment,
    cell: Annotated[str, typer.Option(help="a cell, as `check` lists them")],
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
    data: Annotated[
        Path | None, typer.Option(help="the file that `prepare` wrote, where the experiment needs one")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="threads that torch may use")] = 1,
) -> None:
    """Train all trials of one cell and write what is measured on the way."""
    import torch

    from lowrank_dynamics import metrics
    from lowrank_dynamics.cells import CellRun
    from lowrank_dynamics.provenance import provenance

    settings = load_settings(scale, configs)
    chosen = _cell(cell, settings.cells(experiment))
    torch.set_num_threads(threads)
    run = CellRun(settings, experiment, chosen, range(settings.experiment(experiment).trials), data)
    table = metrics.table(experiment, chosen, run.measurements())
    origin = provenance(settings, scale, experiment, run.data.origin, threads)
    metrics.write(metrics.Metrics(table, origin), output)


@app.command()
def aggregate(cells: list[Path], output: Output) -> None:
    """Join the metrics of an experiment's cells into one file."""
    from lowrank_dynamics import metrics

    metrics.write(metrics.aggregate(cells), output)


@app.command()
def figure(
    name: str,
    metrics: Annotated[Path, typer.Option(help="the metrics of the figure's experiment")],
    output: Annotated[Path, typer.Option(help="the file to write, without its ending")],
) -> None:
    """Draw one figure as PDF, SVG and PNG."""
    from lowrank_dynamics.figures.draw import draw

    draw(name, metrics, output)


def _cell(name: str, cells: list[Cell]) -> Cell:
    """Return the cell called `name`. Raises UserError, with the names there are, if there is none."""
    by_name = {cell.name: cell for cell in cells}
    if name not in by_name:
        raise UserError(f"there is no cell {name!r}; choose one of {', '.join(by_name)}")
    return by_name[name]


def main() -> None:
    """Run the command line; what the user can mend ends it with one sentence and exit status 1."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("lowrank_dynamics").setLevel(logging.INFO)
    try:
        app(prog_name="lowrank-dynamics")
    except UserError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
