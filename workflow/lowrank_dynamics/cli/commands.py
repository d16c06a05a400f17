"""All commands of the program, which importing their modules adds to it."""

try:
    from lowrank_dynamics.cli import inspection, results, stages  # noqa: F401 (their commands)
    from lowrank_dynamics.cli.app import app, main
except ModuleNotFoundError as error:
    raise SystemExit(
        f"error: the command line needs {error.name}; pip install 'lowrank-dynamics[workflow]'"
        " brings it"
    ) from error

__all__ = ["app", "main"]
