"""Draws a figure by name from a file of metrics or verdicts."""

import importlib
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics import metrics
from lowrank_dynamics.claims.files import read
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, sensitivity, style
from lowrank_dynamics.sensitivity import COLUMNS


def draw(name: str, source: Path, stem: Path) -> None:
    """Draw the figure called `name` from the file `source` and write it to `stem` + .pdf, .svg and .png.

    `source` holds metrics or, for the figure `sensitivity`, the comparison of verdicts. Raises UserError if there is no
    such figure or the file holds something else.
    """
    style.apply()
    style.save(_drawn(name, source), stem)
    plt.close("all")


def _drawn(name: str, source: Path) -> Figure:
    if name == "sensitivity":
        return sensitivity.draw(read(source, COLUMNS))
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    module = importlib.import_module(f"lowrank_dynamics.{FIGURES[name].modules[0].replace('/', '.')}")
    return module.draw(metrics.read(source), **FIGURES[name].options)
