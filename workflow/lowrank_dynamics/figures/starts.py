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
    variants = {name: each for name, each in metrics.variants.items() if name in RANKS}
    figure, panels = plt.subplots(
        3, len(variants), figsize=(style.PAGE, 5.6), sharey="row", squeeze=False
    )
    for (variant, each), (accuracy, loss, spent) in zip(variants.items(), panels.T, strict=True):
        for quantity, axes in (("test_accuracy", accuracy), ("test_loss", loss)):
            style.network_lines(per_image(each, quantity), axes, linewidth=1.0)
            axes.set(xlabel="epoch", ylabel=PANELS[quantity])
        spent.set_xscale("log")
        rows = with_operations(each, per_image(each, "test_accuracy"))
        style.network_lines(rows[rows["operations"] > 0], spent, x="operations", linewidth=1.0)
        spent.set(xlabel="operations", ylabel=PANELS["test_accuracy"])
        accuracy.set_title(f"$r = {variant[0]}K$")
    style.legend_below(figure, columns=3)
    return figure
