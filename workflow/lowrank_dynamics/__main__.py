"""Runs the command line with `python -m lowrank_dynamics`."""

from lowrank_dynamics.cli import main

main()
