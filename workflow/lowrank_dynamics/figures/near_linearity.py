"""Figure near_linearity: how far the two-layer network is from the linear one with equal weights,
during training.
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import CELL, until_first_end
from lowrank_dynamics.analysis.scaling import of_variants
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

ROWS = {
    "output_distance": "distance of outputs,\nrelative to theirs",
    "gradient_distance": "distance of $G_1(t)$,\nrelative to $G_1(t)$",
    "absolute_gradient_distance": "distance of $G_1(t)$,\nrelative to $G_1(0)$",
}


def draw(metrics: Metrics) -> Figure:
    """Draw a row for each distance, a column for each activation and a line for each eps, on
    logarithmic axes.

    Geometric mean over trials until the first of them ends, band of one geometric standard
    deviation.
    """
    names = metrics.activations
    eps = {}
    for name, value in of_variants(metrics, "network.eps").items():
        eps[name] = rf"$\epsilon = {value:g}$"
    figure, panels = style.activation_panels(names, 4.2, rows=len(ROWS), sharex="col", sharey="row")
    for (quantity, label), row in zip(ROWS.items(), panels, strict=True):
        for activation, axes in zip(names, row, strict=True):
            curves = until_first_end(metrics.frame(quantity, activation=activation), metrics, CELL)
            axes.set_yscale("log")
            style.variant_lines(curves, axes, eps)
            axes.set(xlabel="", ylabel="")
        row[0].set_ylabel(label)
    plt.setp(panels[-1], xlabel="step $t$")
    style.legend_below(figure)
    return figure
