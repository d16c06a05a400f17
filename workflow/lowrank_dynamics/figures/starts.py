"""Figure starts: low-rank networks from several starts, by epochs and by operations, at three
ranks.
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import with_operations
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS, per_image
from lowrank_dynamics.storage.metrics import Metrics

RANKS = ("2k", "4k", "8k")


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: a column for each rank.

    Rows are accuracy and loss against epochs, and accuracy against the operations of all matrix
    products so far, including the one full gradient that some starts need.
    """
    runs = metrics.variants
    names = [name for name in runs if name in RANKS]
    size = (style.PAGE, 5.6)
    figure, panels = plt.subplots(3, len(names), figsize=size, sharey="row", squeeze=False)
    for name, (accuracy, loss, spent) in zip(names, panels.T, strict=True):
        run = runs[name]
        for quantity, axes in (("test_accuracy", accuracy), ("test_loss", loss)):
            style.network_lines(per_image(run, quantity), axes, linewidth=1.0)
            axes.set(xlabel="epoch", ylabel=PANELS[quantity])
        spent.set_xscale("log")
        rows = with_operations(run, per_image(run, "test_accuracy"))
        style.network_lines(rows[rows["operations"] > 0], spent, x="operations", linewidth=1.0)
        spent.set(xlabel="operations", ylabel=PANELS["test_accuracy"])
        accuracy.set_title(f"$r = {name[0]}K$")
    style.legend_below(figure, columns=3)
    return figure
