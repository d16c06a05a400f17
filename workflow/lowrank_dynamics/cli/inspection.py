"""The commands that inspect settings and results, and the one that puts a run into one file."""

from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import FOR_A_RUN, FOR_READERS, Overrides, RunName, app, color
from lowrank_dynamics.config.folder import require_scale
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError


@app.command(rich_help_panel=FOR_A_RUN)
def check(
    name: RunName = "laptop",
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Check the settings of a run and list its cells."""
    settings = Run.named(name, overrides=overrides).settings
    for experiment, content in settings.experiments.items():
        cells = ", ".join(cell.name for cell in settings.cells(experiment))
        steps = max(variant.training.steps for variant in content.variants.values())
        typer.echo(f"{experiment}: {content.trials} trials, {steps} steps at most; {cells}")


@app.command(rich_help_panel=FOR_A_RUN)
def resources(
    name: RunName = "paper",
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Print what each experiment's jobs cost and request of a cluster, and the total."""
    from collections import Counter

    import pandas as pd

    from lowrank_dynamics.config.cost import jobs_of

    settings = Run.named(name, overrides=overrides).settings
    columns = ["experiment", "job", "jobs", "min", "GPU GB", "requested min", "host GB"]
    rows, hours = [], []
    for experiment in settings.experiments:
        jobs = list(jobs_of(settings, experiment))
        hours += [demand.seconds / 3_600 for _, demand in jobs]
        for (work, demand), count in Counter(jobs).items():
            device, host = demand.device_megabytes / 1e3, demand.megabytes / 1e3
            rows.append(
                (experiment, work, count, demand.seconds / 60, device, demand.minutes, host)
            )
    table = pd.DataFrame(rows, columns=columns).set_index(columns[:2])
    typer.echo(table.to_string(float_format="{:,.1f}".format))
    unit = "CPU" if settings.device == "cpu" else "GPU"
    typer.echo(f"{len(hours)} jobs, {sum(hours):,.1f} {unit} hours")
    for machines in (1, 8, 30):
        least = max(*hours, sum(hours) / machines)
        typer.echo(f"{least:,.1f} hours or more on {machines} at a time")


@app.command(rich_help_panel=FOR_READERS)
def verdicts(
    table: Annotated[Path, typer.Argument(help="the file that `claims` wrote")],
    strict: Annotated[bool, typer.Option(help="fail if a claim is not reproduced")] = False,
    page: Annotated[bool, typer.Option(help="print the whole page, with every cell")] = False,
) -> None:
    """Print how many claims have each verdict, or the page of a table that has none next to it."""
    from lowrank_dynamics.analysis.readable import claims_summary
    from lowrank_dynamics.analysis.table import COLUMNS
    from lowrank_dynamics.analysis.verdicts import Verdict
    from lowrank_dynamics.report.rendering import claims_page
    from lowrank_dynamics.storage.tables import read

    judged = read(table, COLUMNS)
    if page:
        typer.echo(claims_page(judged, Run.named(judged.origin["scale"])), nl=False)
    else:
        typer.echo(claims_summary(judged.rows))
    rows = judged.rows
    failed = rows.loc[rows["claim_verdict"] == Verdict.NOT_REPRODUCED, "claim"].unique()
    if strict and len(failed):
        raise UserError(
            f"not reproduced: {', '.join(failed)}; {table.with_suffix('.md')} has the numbers"
        )


@app.command("outcome", rich_help_panel=FOR_READERS)
def tell_outcome(
    name: RunName = "laptop",
    since: Annotated[float | None, typer.Option(help="its start, in seconds since 1970")] = None,
) -> None:
    """Print where a run's figures are and what to read about them; run it where the run is."""
    import time

    from lowrank_dynamics.report.outcome import outcome

    run = Run.named(name)
    require_scale(run.scale)
    for line in outcome(run, None if since is None else time.time() - since):
        typer.echo(line)


@app.command("provenance", rich_help_panel=FOR_READERS)
def show_provenance(
    file: Annotated[Path, typer.Argument(help="a Parquet file or a figure of a run")],
) -> None:
    """Print what produced a file: settings, data and their sources, code, libraries, machine."""
    from lowrank_dynamics.config.yaml import as_yaml
    from lowrank_dynamics.storage.embedded import read_provenance
    from lowrank_dynamics.storage.provenance import concise

    typer.echo(as_yaml(concise(read_provenance(file)), width=120), nl=False)


@app.command("archive", rich_help_panel=FOR_READERS)
def make_archive(
    name: RunName = "laptop",
    output: Annotated[Path, typer.Option(help="the folder to write to")] = Path("archive"),
) -> None:
    """Pack sources, settings and results into one file to publish; run it in the project's root.

    It warns of results that were not made by the commit's code, and of figures that the run lacks.
    """
    from textwrap import shorten

    from lowrank_dynamics.report import crate
    from lowrank_dynamics.report.archive import write_archive

    written = write_archive(Run.named(name, configs=Path("configs")), output)
    for remark in written.remarks:
        told = shorten(remark, 200, placeholder=f" ... ({crate.NAME} has all)")
        typer.secho(f"warning: {told}", fg="yellow", err=True, color=color())
    typer.echo(f"{written.path}: {written.files} files, {written.path.stat().st_size / 1e6:.1f} MB")


@app.command("verify", rich_help_panel=FOR_READERS)
def verify_results(
    results: Annotated[Path, typer.Argument(help="the folder results/<scale>")],
) -> None:
    """Check that a run's verdicts follow from its metrics, and that every file has provenance."""
    from lowrank_dynamics.report.verify import verify

    typer.echo(verify(results))
