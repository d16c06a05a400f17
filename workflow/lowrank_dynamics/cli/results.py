"""The commands that turn metrics into figures, verdicts and pages."""

from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import FOR_JOBS, AnyRunName, Output, Overrides, RunName, app
from lowrank_dynamics.config.folder import REFERENCE
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import provenance
from lowrank_dynamics.storage.repository import code_version

Page = Annotated[Path, typer.Option(help="the Parquet file; its page is written next to it")]
Files = Annotated[list[Path], typer.Argument(help="metrics, each file named after its experiment")]
Metrics = Annotated[list[Path], typer.Option(help="the metrics of an experiment; repeatable")]


@app.command(rich_help_panel=FOR_JOBS)
def figure(
    figure_name: Annotated[str, typer.Argument(help="a name such as figure_6")],
    metrics: Metrics,
    output: Annotated[Path, typer.Option(help="the file to write, without its suffix")],
    name: AnyRunName = None,
) -> None:
    """Draw one figure as PDF, SVG and PNG."""
    from lowrank_dynamics.figures.draw import draw

    draw(figure_name, metrics, output, name)


@app.command(rich_help_panel=FOR_JOBS)
def animation(
    figure_name: Annotated[str, typer.Argument(help="the name of an animated figure")],
    metrics: Metrics,
    output: Annotated[Path, typer.Option(help="the file to write")],
    name: AnyRunName = None,
) -> None:
    """Draw the animation of one figure as GIF."""
    from lowrank_dynamics.figures.draw import animate

    animate(figure_name, metrics, output, name)


@app.command(rich_help_panel=FOR_JOBS)
def claims(
    output: Page,
    metrics: Files = [],  # noqa: B006
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
    every: Annotated[bool, typer.Option("--all", help="also on claims without metrics")] = False,
) -> None:
    """Give a verdict on every claim about the experiments."""
    from lowrank_dynamics.analysis.claims import load_claims
    from lowrank_dynamics.analysis.readable import claims_summary
    from lowrank_dynamics.analysis.table import claims_table
    from lowrank_dynamics.report.rendering import claims_page
    from lowrank_dynamics.report.verify import require_planned
    from lowrank_dynamics.storage import tables
    from lowrank_dynamics.storage.metrics import read_all

    run = Run.named(name, overrides=overrides)
    measured = read_all(metrics, run.measured.name)
    for path in metrics:
        require_planned(measured[path.stem], run.measured, path)
    only = None if every else set(measured)
    rows = claims_table(load_claims(run.statements), measured, run.settings, run, only)
    statements = provenance.sha256(run.statements)
    origin = provenance.table_origin(run.name, measured, claims_sha256=statements)
    table = tables.Table(rows, origin | {"summary": claims_summary(rows)})
    tables.write(table, claims_page(table, run), output)


@app.command(rich_help_panel=FOR_JOBS)
def sensitivity(
    declared: Annotated[Path, typer.Argument(help="the verdicts at the declared values")],
    alternatives: Annotated[
        list[Path], typer.Argument(help="those of alternatives, each NAME/claims.parquet")
    ],
    output: Page,
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Compare the verdicts at the declared values with those of the alternatives."""
    from lowrank_dynamics.analysis.readable import sensitivity_summary
    from lowrank_dynamics.analysis.sensitivity import compare
    from lowrank_dynamics.analysis.table import COLUMNS
    from lowrank_dynamics.report.rendering import sensitivity_page
    from lowrank_dynamics.storage import tables

    run = Run.named(name, overrides=overrides)
    base = tables.read(declared, COLUMNS)
    varied = {path.parent.name: tables.read(path, COLUMNS) for path in alternatives}
    verdicts = {name: table.rows for name, table in varied.items()}
    rows = compare(base.rows, verdicts, run.sensitivity_study)
    unverified = set(base.unverified)
    for table in varied.values():
        unverified.update(table.unverified)
    origin = {
        "scale": run.name,
        "code": code_version(),
        "unverified": sorted(unverified),
        "summary": sensitivity_summary(rows),
    }
    table = tables.Table(rows, origin)
    tables.write(table, sensitivity_page(table, run), output)


@app.command(rich_help_panel=FOR_JOBS)
def compare(
    metrics: Files,
    output: Page,
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
    reference: Annotated[Path, typer.Option(help="the folder of the reference")] = REFERENCE,
) -> None:
    """Compare a run with the reference, quantity by quantity."""
    from lowrank_dynamics.analysis.comparison import compare_all
    from lowrank_dynamics.analysis.readable import comparison_summary
    from lowrank_dynamics.report.rendering import comparison_page
    from lowrank_dynamics.storage import tables
    from lowrank_dynamics.storage.metrics import read_all

    run = Run.named(name, overrides=overrides)
    if not reference.is_dir():
        raise UserError(f"{reference} is not a folder; name that of a reference")
    measured = read_all(metrics, run.name)
    rows, uncompared = compare_all(measured, reference, run.settings.experiments)
    files = {}
    for path in sorted(reference.rglob("*.parquet")):
        files[str(path.relative_to(reference))] = provenance.sha256(path)
    origin = provenance.table_origin(run.name, measured, reference_sha256=files)
    origin |= {"uncompared": uncompared, "summary": comparison_summary(rows)}
    table = tables.Table(rows, origin)
    tables.write(table, comparison_page(table, run), output)


@app.command("report", rich_help_panel=FOR_JOBS)
def write_report(
    pictures: Annotated[list[Path], typer.Argument(help="the figures to show, as PNG")],
    captions: Annotated[Path, typer.Option(help="the folder of the figures' captions")],
    output: Output,
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Put a run's verdicts, figures, comparison and settings on one page."""
    from lowrank_dynamics.report.page import write_page

    run = Run.named(name, overrides=overrides)
    write_page(run, pictures, captions, output)
