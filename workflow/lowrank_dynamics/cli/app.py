"""The program: how it ends, and the options that its commands share."""

import atexit
import gc
import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from lowrank_dynamics.cli.interruption import RUN, end_when_asked, end_with
from lowrank_dynamics.errors import Interrupted, UserError

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

FOR_A_RUN, FOR_READERS, FOR_JOBS = "For a run", "For readers", "For jobs of the workflow"
"""The groups in which help lists the commands."""
_RUN = typer.Option("--run", help="a scale, laptop/beyond, or such as laptop/sensitivity/width_64")
RunName = Annotated[str, _RUN]
AnyRunName = Annotated[str | None, _RUN]
"""The name of a run that a file must be of, if it is given."""
Overrides = Annotated[
    list[str],
    typer.Option("--set", help="a setting to change, such as experiments.starts.trials=1"),
]
Output = Annotated[Path, typer.Option(help="the file to write", dir_okay=False)]


def color() -> bool | None:
    """Return whether messages may have color: never if NO_COLOR says so, else only on a terminal,
    which None means.
    """
    return False if os.environ.get("NO_COLOR") else None


def _show_version(wanted: bool) -> None:
    if wanted:
        from lowrank_dynamics.storage.repository import code_version

        typer.echo(f"lowrank-dynamics {code_version()}")
        raise typer.Exit


_VERSION = typer.Option(
    "--version", help="show the version and commit", callback=_show_version, is_eager=True
)


@app.callback()
def options(
    version: Annotated[bool, _VERSION] = False,
) -> None:
    """Run a stage as a command; each rule of the workflow is one of these lines, which a terminal
    runs just as well.
    """


def main() -> None:
    """Run the command line; a problem that the user can fix ends it with one sentence and exit
    status 1.

    System errors, such as a full disk or a read-only folder, end it the same way. Ctrl-C ends it
    with status 130.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that a terminal lacks are escaped
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("lowrank_dynamics").setLevel(logging.INFO)
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of fonts without dates
    # Module objects stay, so cyclic garbage is collected rarely, and not at exit: it saves half a
    # second per job.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        end_when_asked()
        end_with(os.environ.get(RUN))
        app(prog_name="lowrank-dynamics")
    except (UserError, Interrupted) as error:
        _end(str(error), error.status)
    except OSError as error:
        where, why = error.filename or "a file", error.strerror or error
        _end(f"{where} cannot be read or written ({why}); fix this and run it again")


def _end(sentence: str, status: int = 1) -> None:
    """Say why the command ends; on standard output if the log, which is on the same disk, is full
    too.
    """
    try:
        typer.secho(f"error: {sentence}", fg="red", err=True, color=color())
    except OSError:
        with suppress(OSError):
            typer.secho(f"error: {sentence}", fg="red", color=color())
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            # Otherwise the interpreter's last flush fails too, with another exit status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)
