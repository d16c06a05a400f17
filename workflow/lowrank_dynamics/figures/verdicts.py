"""Figure verdicts: how much of the paper held, a mark for each claim above the figure it is
about.
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis import table as judged
from lowrank_dynamics.analysis.table import NOT_RUN, told
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.tables import Table

COLUMNS = (*judged.COLUMNS, "reason")


def draw(table: Table) -> Figure:
    """Draw the claims of each figure as a column of marks; `table` comes from
    `analysis.table.claims_table`.

    A dot marks a claim whose experiment was not run.
    """
    claims = table.rows.drop_duplicates("claim")
    places = {
        name: place for place, name in enumerate(sorted(set(claims["figure"]), key=_as_counted))
    }
    claims = claims.assign(
        place=claims["figure"].map(places), row=claims.groupby("figure").cumcount()
    )
    shown = told(claims)
    counts = shown.value_counts()
    figure, axes = plt.subplots(figsize=(style.PAGE, 0.16 * claims["row"].max() + 0.95))
    looks = {str(verdict): look for verdict, look in style.VERDICTS.items()}
    if NOT_RUN in counts:
        looks[NOT_RUN] = (".", "0.6")
    for verdict, (marker, color) in looks.items():
        given = claims[shown == verdict]
        label = f"{counts.get(verdict, 0)} {verdict}"
        axes.scatter(
            given["place"],
            given["row"],
            marker=marker,
            color=color,
            s=40,
            linewidths=1.6,
            label=label,
        )
    axes.set_xticks(list(places.values()), list(places))
    axes.set(xlabel="figure", yticks=[], ylim=(-0.7, claims["row"].max() + 0.7))
    axes.spines["left"].set_visible(False)
    style.legend_below(figure)
    return figure


def _as_counted(figure: str) -> tuple[bool, int, str]:
    """Return a sort key: figures by number, followed by those that have only a name."""
    return not figure.isdigit(), int(figure) if figure.isdigit() else 0, figure
