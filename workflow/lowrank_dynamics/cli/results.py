"""The commands that turn metrics into figures, verdicts and pages."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from lowrank_dynamics.cli.app import Configs, Output, Scale, app
from lowrank_dynamics.config.files import (
    CONFIGS,
    load_settings,
    load_study,
    measured_scale,
    statements_of,
)
from lowrank_dynamics.storage import provenance

Page = Annotated[
    Path, typer.Option(help="the Parquet file to write; the page to read lies beside it")
]
Files = Annotated[
    list[Path], typer.Argument(help="the metrics of experiments, each file named after its own")
]
Metrics = Annotated[
    list[Path], typer.Option(help="the metrics of the figure's experiments, one option each")
]


@app.command()
def figure(
    name: str,
    metrics: Metrics,
    output: Annotated[Path, typer.Option(help="the file to write, without its suffix")],
    scale: Scale | None = None,
) -> None:
    """Draw one figure as PDF, SVG and PNG."""
    from lowrank_dynamics.figures.draw import draw

    draw(name, metrics, output, scale)


@app.command()
def claims(
    output: Page,
    metrics: Files = [],  # noqa: B006
    scale: Scale = "laptop",
    configs: Configs = CONFIGS,
    every: Annotated[
        bool, typer.Option("--all", help="also on claims about experiments that are not given")
    ] = False,
) -> None:
    """Give a verdict on every claim about the experiments."""
    from lowrank_dynamics.analysis.claims import load_claims
    from lowrank_dynamics.analysis.table import claims_table
    from lowrank_dynamics.report.claims_markdown import as_page
    from lowrank_dynamics.storage import metrics as stored
    from lowrank_dynamics.storage import tables

    runs = {path.stem: stored.read(path, path.stem, measured_scale(scale)) for path in metrics}
    settings, judged = load_settings(scale, configs), None if every else set(runs)
    statements = statements_of(scale, configs)
    rows = claims_table(load_claims(statements), runs, settings, scale, judged)
    origin = provenance.verdicts_origin(
        scale, statements, {name: run.cells for name, run in runs.items()}
    )
    table = tables.Table(rows, origin | _unverified(runs.values()))
    tables.write(table, as_page(rows, scale, table.unverified), output)


@app.command()
def sensitivity(
    declared: Annotated[
        Path, typer.Argument(help="the verdicts at the declared values, which `claims` wrote")
    ],
    alternatives: Annotated[
        list[Path], typer.Argument(help="those of alternatives, each in a folder named after it")
    ],
    output: Page,
    scale: Scale = "laptop",
    configs: Configs = CONFIGS,
) -> None:
    """Compare the verdicts at the declared values with those of the alternatives."""
    from lowrank_dynamics.analysis.sensitivity import compare
    from lowrank_dynamics.analysis.table import COLUMNS
    from lowrank_dynamics.report.sensitivity_markdown import as_page
    from lowrank_dynamics.storage import tables

    study = load_study(configs)
    varied = {path.parent.name: tables.read(path, COLUMNS) for path in alternatives}
    base = tables.read(declared, COLUMNS)
    rows = compare(base.rows, {name: table.rows for name, table in varied.items()}, study)
    origin = {
        "scale": scale,
        "code": provenance.code_version(),
        **_unverified([base, *varied.values()]),
    }
    table = tables.Table(rows, origin)
    tables.write(table, as_page(rows, study, scale, table.unverified), output)


@app.command()
def compare(
    metrics: Files,
    output: Page,
    scale: Scale = "laptop",
    configs: Configs = CONFIGS,
    reference: Annotated[Path, typer.Option(help="the folder of the reference")] = Path(
        "results/reference"
    ),
) -> None:
    """Compare a run with the reference, quantity by quantity."""
    from lowrank_dynamics.analysis.comparison import compare_all
    from lowrank_dynamics.report.comparison_markdown import as_page
    from lowrank_dynamics.storage import metrics as stored
    from lowrank_dynamics.storage import tables

    runs = {path.stem: stored.read(path, path.stem, scale) for path in metrics}
    rows, uncompared = compare_all(runs, reference, load_settings(scale, configs).experiments)
    origin = provenance.comparison_origin(
        scale, reference, {name: run.cells for name, run in runs.items()}
    )
    table = tables.Table(rows, origin | _unverified(runs.values()) | {"uncompared": uncompared})
    tables.write(table, as_page(rows, uncompared, scale, table.unverified), output)


@app.command("report")
def write_report(
    pictures: Annotated[list[Path], typer.Argument(help="the figures to show, as PNG")],
    results: Annotated[Path, typer.Option(help="the folder of the run's metrics and verdicts")],
    captions: Annotated[
        Path, typer.Option(help="the folder of the texts that say what to look for")
    ],
    output: Output,
    scale: Scale = "laptop",
    configs: Configs = CONFIGS,
) -> None:
    """Put a run's verdicts, figures, comparison and settings on one page."""
    from lowrank_dynamics.report.page import write_page

    write_page(pictures, output, results=results, captions=captions, scale=scale, configs=configs)


def _unverified(sources: Iterable[Any]) -> dict[str, list[str]]:
    """Return what a table's origin says of the metrics or tables behind it: which data are
    unverified.
    """
    return {"unverified": sorted({name for source in sources for name in source.unverified})}
