"""Which commit the code of this package is of, as git tells it."""

import os
import subprocess
from pathlib import Path

from lowrank_dynamics.source_code import PACKAGE
from lowrank_dynamics.version import __version__

DIRTY = "-dirty"
"""The version suffix of code that differs from its commit."""
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)
"""Git's variables that name a repository."""


def code_version() -> str:
    """Return the package's version and, in the project's own repository, the commit; `-dirty` if
    the package differs.

    Files elsewhere, such as pages or a reference being kept, change no number. A repository that
    merely contains the project is somebody else's.
    """
    try:
        top = git(PACKAGE, "rev-parse", "--show-toplevel").decode().strip()
        if Path(top).resolve() != PACKAGE.parents[1].resolve():
            return __version__
        commit = git(PACKAGE, "rev-parse", "HEAD").decode().strip()
        changes = git(PACKAGE, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} at {commit}{DIRTY if changes else ''}"


def unreadable_repository() -> str:
    """Return why git does not read the project's repository, where there is one; empty
    otherwise.
    """
    if not (PACKAGE.parents[1] / ".git").exists():
        return ""
    try:
        git(PACKAGE, "rev-parse", "--show-toplevel")
    except OSError:
        return "git is not installed"
    except subprocess.CalledProcessError as error:
        return error.stderr.decode().partition("\n")[0].removeprefix("fatal: ")
    return ""


def git(folder: Path, *arguments: str) -> bytes:
    """Return git's output in a folder, with times in UTC; it takes no lock, which a killed job
    would leave behind.

    Variables by which a hook or a script names another repository do not count. Raises OSError if
    there is no git, CalledProcessError if it fails.
    """
    command = ["git", "--no-optional-locks", *arguments]
    variables = os.environ | {"TZ": "UTC"}
    for name in ELSEWHERE:
        variables.pop(name, None)
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=True)
    return run.stdout
