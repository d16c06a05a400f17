"""The commands that make figures, verdicts and pages of the metrics."""

from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import Configs, Output, Scale, app
from lowrank_dynamics.config import load_settings


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
def compare(
    metrics: Annotated[list[Path], typer.Argument(help="the metrics of experiments, each file named after its own")],
    output: Annotated[Path, typer.Option(help="the Parquet file to write; the page to read lies beside it")],
    scale: Scale = "laptop",
    configs: Configs = Path("configs"),
    reference: Annotated[Path, typer.Option(help="the folder of the reference")] = Path("results/reference"),
) -> None:
    """Set a run beside the reference, quantity by quantity."""
    from lowrank_dynamics import comparison
    from lowrank_dynamics import metrics as stored
    from lowrank_dynamics.claims import files
    from lowrank_dynamics.provenance import of_comparison

    runs = {path.stem: stored.read(path) for path in metrics}
    compared, uncompared = comparison.compare_all(runs, reference, load_settings(scale, configs).experiments)
    unverified = sorted({name for run in runs.values() for name in run.unverified})
    page = comparison.as_page(compared, uncompared, scale, unverified)
    origin = of_comparison(scale, reference, {name: run.provenance for name, run in runs.items()})
    files.write(compared, page, {**origin, "unverified": unverified}, output)


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
