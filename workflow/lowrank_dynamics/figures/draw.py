"""Draws a figure by name from a file of metrics."""

import importlib
from pathlib import Path

import matplotlib.pyplot as plt

from lowrank_dynamics import metrics
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, style


def draw(name: str, source: Path, stem: Path) -> None:
    """Draw the figure called `name` from the metrics in `source` and write it to `stem` + .pdf, .svg and .png.

    Raises UserError if there is no such figure or the file is not one of metrics.
    """
    if name not in FIGURES:
        raise UserError(f"there is no figure {name!r}; choose one of {', '.join(FIGURES)}")
    shown = metrics.read(source)
    module = importlib.import_module(f"lowrank_dynamics.figures.{FIGURES[name].modules[0]}")
    style.apply()
    figure = module.draw(shown, **FIGURES[name].options)
    style.save(figure, stem)
    plt.close(figure)
