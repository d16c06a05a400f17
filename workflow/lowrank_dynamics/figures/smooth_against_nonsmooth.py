"""Figure 2: ELU against ReLU, the middle singular subspaces and the singular values of the first
layer.
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.config.registries import SIDES
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.layer_movement import MEASURES, draw_movement
from lowrank_dynamics.figures.singular_values import draw_singular_values
from lowrank_dynamics.storage.metrics import Metrics

SHOWN = ("elu", "relu")


def draw(metrics: Metrics) -> Figure:
    """Draw the distance of the middle left and right subspaces from the reference, and the singular
    values.
    """
    figure = plt.figure(figsize=(style.PAGE, 1.95))
    distances, spectra = figure.subfigures(1, 2, squeeze=False).flat
    for side, axes in zip(SIDES, distances.subplots(1, 2, sharey=True), strict=True):
        draw_movement(metrics, 1, f"sine_{side}_middle", axes, activation=SHOWN)
        axes.set(title=f"middle, {side}", ylabel=MEASURES["sine"], ylim=(-0.03, 0.63))
    style.legend_below(distances, columns=2)
    panels = spectra.subplots(1, 2, sharey=True)
    draw_singular_values(metrics, 1, SHOWN, panels)
    panels[0].set_ylabel(r"$\sigma_i(W_1(t))$")
    style.legend_below(spectra, columns=2)  # as many rows as beside it
    return figure
