"""What every command line offers: help, version, completion, and no color where none is wanted."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from conftest import ROOT
from lowrank_dynamics.cli.commands import app
from lowrank_dynamics.storage.repository import code_version
from runs import environment


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option: str) -> None:
    for arguments in ([option], ["train", option]):
        shown = CliRunner().invoke(app, arguments)
        assert shown.exit_code == 0
        assert "Usage: " in shown.output


def test_the_version_names_the_commit() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"lowrank-dynamics {code_version()}\n"


def test_shells_complete_commands() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output
    completing = {
        "_LOWRANK_DYNAMICS_COMPLETE": "complete_bash",
        "COMP_WORDS": "lowrank-dynamics prov",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-m", "lowrank_dynamics"]
    run = subprocess.run(
        command,
        env=environment(**completing),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["provenance"], run.stderr


@pytest.mark.parametrize(
    ("variable", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_a_terminal_gets_color_unless_it_wants_none(
    variable: dict[str, str], colored: bool
) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "lowrank_dynamics", "check", "--run", "huge"]
    own = {
        name: value for name, value in environment(TERM="xterm").items() if name != "NO_COLOR"
    } | variable
    subprocess.run(command, cwd=ROOT, env=own, stderr=end, check=False)
    os.close(end)
    said = b""
    with suppress(OSError):  # the end of a terminal
        while chunk := os.read(terminal, 1000):
            said += chunk
    os.close(terminal)
    assert b"error: there is no scale 'huge'" in said
    assert (b"\x1b[" in said) == colored
