"""Figure verdicts: how much of the paper held, a mark for each claim above the figure it is
about.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.analysis import table as judged
from lowrank_dynamics.analysis.readable import NOT_RUN, shown_verdicts
from lowrank_dynamics.config.figures import short_title
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.tables import Table

COLUMNS = judged.COLUMNS


def draw(table: Table) -> Figure:
    """Draw the claims of each figure as a column of marks; `table` comes from
    `analysis.table.claims_table`.

    A dot marks a claim whose experiment was not run; checks of our code have no mark.
    """
    claims = table.rows[table.rows["role"] == "claim"].drop_duplicates("claim")
    claims = claims.assign(
        shown=shown_verdicts(claims),
        figure=claims["figure"].map(short_title),
        row=claims.groupby("figure").cumcount(),
    )
    places = _places(claims["figure"])
    counts = claims["shown"].value_counts()
    highest = claims["row"].max()
    longest = max(map(len, places))
    height = 0.16 * highest + 0.04 * longest + 0.95
    figure, axes = plt.subplots(figsize=(style.PAGE, height))
    looks = {str(verdict): look for verdict, look in style.VERDICTS.items()}
    if NOT_RUN in counts:
        looks[NOT_RUN] = (".", "0.6")
    for verdict, (marker, color) in looks.items():
        part = claims[claims["shown"] == verdict]
        label = f"{len(part)} {verdict}"
        look = {"marker": marker, "color": color, "s": 40, "linewidths": 1.6}
        axes.scatter(part["figure"].map(places), part["row"], label=label, **look)
    axes.set_xticks(list(places.values()), [name.replace("_", " ") for name in places])
    for name in axes.get_xticklabels():  # those that are no numbers are too long side by side
        if not name.get_text().isdigit():
            name.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set(xlabel="figure", yticks=[], ylim=(-0.7, highest + 0.7))
    axes.spines["left"].set_visible(False)
    style.legend_below(figure, columns=3)
    return figure


def _places(figures: "pd.Series[str]") -> dict[str, int]:
    """Return the column of each figure: by number, followed by those that have only a name."""
    names = sorted(figures.unique())
    numbered = sorted(filter(str.isdigit, names), key=int)
    ordered = numbered + [name for name in names if name not in numbered]
    return {name: place for place, name in enumerate(ordered)}
