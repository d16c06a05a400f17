"""Figure sensitivity: the verdict on each claim as declared choices change one at a time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.sensitivity import COLUMNS
from lowrank_dynamics.config.study import DECLARED
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.tables import Table

__all__ = ["COLUMNS", "draw"]

GAP = 1.6
"""How far the first value of a choice is from the last of another one; neighbors are 1 apart."""
VALUES = 6
"""The size of the labels of values, in points: they stand side by side."""


def draw(table: Table) -> Figure:
    """Draw a mark for each claim and alternative; `table` comes from
    `analysis.sensitivity.compare`.
    """
    rows, claims = pd.factorize(table.rows["claim"])
    columns = table.rows[["choice", "value"]].drop_duplicates()
    begins = columns["choice"] != columns["choice"].shift(fill_value=DECLARED)
    columns["place"] = np.where(begins, GAP, 1.0).cumsum()  # a gap divides the choices
    marks = table.rows.assign(row=rows).merge(columns)
    figure, axes = plt.subplots(figsize=(style.PAGE, 0.19 * len(claims) + 1.6))
    for row in range(0, len(claims), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.95", linewidth=0)
    for verdict, (marker, color) in style.VERDICTS.items():
        part = marks[marks["claim_verdict"] == verdict]
        if len(part):
            look = {"marker": marker, "color": color, "s": 18, "linewidths": 1}
            axes.scatter(part["place"], part["row"], label=verdict, **look)
    axes.set_yticks(range(len(claims)), [claim.replace("_", " ") for claim in claims])
    axes.set_xticks(columns["place"], columns["value"].str.replace("_", " "), rotation=90)
    axes.tick_params(length=0, labelsize=style.NOTE)
    axes.tick_params(axis="x", labelsize=VALUES)
    varied = columns[columns["choice"] != DECLARED]
    look = {"fontsize": style.NOTE, "rotation": 60, "rotation_mode": "anchor"}
    for choice, places in varied.groupby("choice", sort=False)["place"]:
        middle = (places.min() + places.max()) / 2
        axes.text(middle, -0.9, str(choice).replace("_", " "), **look)
    axes.set_ylim(len(claims) - 0.5, -0.7)
    axes.set_xlim(0, columns["place"].max() + 1)
    axes.spines[:].set_visible(False)
    style.legend_below(figure)
    return figure
