"""The command line: the stages, which rules call too, what makes pages of their results, and what looks into them."""

from lowrank_dynamics.cli import inspection, results, stages  # noqa: F401 (each registers its commands)
from lowrank_dynamics.cli.app import app, main

__all__ = ["app", "main"]
