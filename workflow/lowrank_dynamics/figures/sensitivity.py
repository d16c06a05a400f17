"""Figure sensitivity: the verdict on each claim when one declared choice after another is changed."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.sensitivity import COLUMNS
from lowrank_dynamics.analysis.verdicts import Verdict
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.tables import Table

__all__ = ["COLUMNS", "draw"]

MARKS = {
    Verdict.REPRODUCED: ("o", style.COLORS[0]),
    Verdict.PARTLY: ("D", style.COLORS[8]),
    Verdict.NOT_REPRODUCED: ("X", style.COLORS[3]),
    Verdict.NOT_TESTABLE: ("_", style.COLORS[7]),
}


def draw(table: Table) -> Figure:
    """Draw a mark for each claim and alternative; `table` is that of `analysis.sensitivity.compare`."""
    compared = table.rows
    claims = list(dict.fromkeys(compared["claim"]))
    columns = list(dict.fromkeys(zip(compared["choice"], compared["value"], strict=True)))
    figure, axes = plt.subplots(figsize=(style.TEXT_WIDTH, 0.19 * len(claims) + 1.6))
    places = _draw_marks(compared, claims, columns, axes)
    axes.set_yticks(range(len(claims)), [claim.replace("_", " ") for claim in claims])
    axes.set_xticks(list(places.values()), [value.replace("_", " ") for _, value in columns], rotation=90)
    axes.tick_params(length=0, labelsize=6)
    for choice in dict.fromkeys(choice for choice, _ in columns[1:]):
        of_choice = [place for (name, _), place in places.items() if name == choice]
        middle = (of_choice[0] + of_choice[-1]) / 2
        axes.text(middle, -0.9, choice.replace("_", " "), fontsize=6, rotation=35, ha="left", va="bottom")
    axes.set_ylim(len(claims) - 0.5, -0.7)
    axes.spines[:].set_visible(False)
    style.legend_below(figure)
    return figure


def _draw_marks(
    compared: pd.DataFrame, claims: list[str], columns: list[tuple[str, str]], axes: Axes
) -> dict[tuple[str, str], float]:
    """Draw the marks and return the place of each column; a gap divides the choices."""
    places: dict[tuple[str, str], float] = {}
    place = 0.0
    for position, column in enumerate(columns):
        place += 1.0 if position == 0 or columns[position - 1][0] == column[0] else 1.8
        places[column] = place
    for row in range(0, len(claims), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.95", linewidth=0)
    for verdict, (marker, color) in MARKS.items():
        given = compared[compared["claim_verdict"] == verdict]
        if given.empty:
            continue
        x = [places[column] for column in zip(given["choice"], given["value"], strict=True)]
        y = [claims.index(claim) for claim in given["claim"]]
        axes.scatter(x, y, marker=marker, color=color, s=18, linewidths=1, label=str(verdict))
    return places
