"""The commands that inspect settings and results, and the one that puts a run into one file."""

from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.app import Configs, Scale, app, color
from lowrank_dynamics.config.files import CONFIGS, load_settings
from lowrank_dynamics.errors import UserError


@app.command()
def check(scale: Scale = "laptop", configs: Configs = CONFIGS) -> None:
    """Check the settings of a scale and list its cells."""
    settings = load_settings(scale, configs)
    for name, experiment in settings.experiments.items():
        cells = ", ".join(cell.name for cell in settings.cells(name))
        typer.echo(
            f"{name}: {experiment.trials} trials, {experiment.training.steps} steps at most;"
            f" {cells}"
        )


@app.command()
def resources(
    scale: Scale = "paper",
    configs: Configs = CONFIGS,
    gpu: Annotated[
        str | None, typer.Option(help="another GPU than the settings name, or operations a second")
    ] = None,
) -> None:
    """Print the expected cost of each experiment's jobs, what they request of a cluster, and the
    total.
    """
    from lowrank_dynamics.config.budget import tables
    from lowrank_dynamics.config.files import requested

    settings = load_settings(scale, configs)
    if gpu is not None:
        settings = settings.on(requested({"gpu": gpu}).gpu)
    for line in tables(settings):
        typer.echo(line)


@app.command()
def verdicts(
    table: Annotated[Path, typer.Argument(help="the file that `claims` wrote")],
    strict: Annotated[bool, typer.Option(help="fail if a claim is not reproduced")] = False,
) -> None:
    """Print how many claims have each verdict."""
    from lowrank_dynamics.analysis.table import COLUMNS, summary
    from lowrank_dynamics.analysis.verdicts import Verdict
    from lowrank_dynamics.storage.tables import read

    found = read(table, COLUMNS).rows
    typer.echo(summary(found))
    failed = found.loc[found["claim_verdict"] == Verdict.NOT_REPRODUCED, "claim"].unique()
    if strict and len(failed):
        raise UserError(
            f"not reproduced: {', '.join(failed)}; {table.with_suffix('.md')} has the numbers"
        )


@app.command("outcome")
def tell_outcome(
    scale: Scale = "laptop",
    since: Annotated[
        float | None, typer.Option(help="when the run began, in seconds since 1970")
    ] = None,
) -> None:
    """Print where a run's figures are and what to read about them; run it where the run is."""
    import time

    from lowrank_dynamics.report.outcome import outcome

    for line in outcome(scale, None if since is None else time.time() - since):
        typer.echo(line)


@app.command("provenance")
def show_provenance(
    file: Annotated[Path, typer.Argument(help="a Parquet file or a figure of a run")],
) -> None:
    """Print what produced a file: settings, data and their sources, code, libraries, machine."""
    from lowrank_dynamics.config.yaml import as_yaml
    from lowrank_dynamics.storage.embedded import read_provenance
    from lowrank_dynamics.storage.provenance import concise

    typer.echo(as_yaml(concise(read_provenance(file)), width=120), nl=False)


@app.command("archive")
def make_archive(
    scale: Scale = "laptop",
    output: Annotated[Path, typer.Option(help="the folder to write to")] = Path("archive"),
) -> None:
    """Pack sources, settings and results into one file to publish; run it in the project's root.

    It warns of results that were not made by the commit's code, and of figures that the run lacks.
    """
    from textwrap import shorten

    from lowrank_dynamics.report import crate
    from lowrank_dynamics.report.archive import write_archive

    written = write_archive(Path(), scale, output)
    for remark in written.remarks:
        told = shorten(remark, 200, placeholder=f" ... ({crate.NAME} has all)")
        typer.secho(f"warning: {told}", fg="yellow", err=True, color=color())
    typer.echo(f"{written.path}: {written.files} files, {written.path.stat().st_size / 1e6:.1f} MB")


@app.command("keep-reference")
def keep_reference(scale: Scale = "laptop") -> None:
    """Keep a run, or what there is of it, as the reference of its scale; run it in the project's
    root.

    Trials and cells are added to those kept by earlier calls if they have the same settings and
    code.
    """
    from lowrank_dynamics.report.keep_reference import keep

    for kept in keep(Path(), scale):
        typer.echo(f"{kept.path}: {kept.content}, {kept.path.stat().st_size / 1000:.0f} kB")


@app.command("verify")
def verify_results(
    results: Annotated[Path, typer.Argument(help="the folder results/<scale>")],
) -> None:
    """Check that the verdicts of a run follow from its metrics and settings, and that every file
    says what made it.
    """
    from lowrank_dynamics.report.verify import verify

    typer.echo(verify(results))
