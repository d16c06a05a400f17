"""Figure 2: ELU against ReLU, the middle singular subspaces and the singular values of the first layer."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.movement import MEASURES, draw_movement, movement
from lowrank_dynamics.figures.singular_values import draw_singular_values, mean_singular_values
from lowrank_dynamics.storage.metrics import Metrics

SHOWN = ("elu", "relu")


def draw(metrics: Metrics) -> Figure:
    """Draw the distance of the middle left and right subspaces from the reference, and the singular values."""
    figure = plt.figure(figsize=(style.TEXT_WIDTH, 1.8), layout="constrained")
    distances, spectra = figure.subfigures(1, 2, squeeze=False).flat
    panels = distances.subplots(1, 2, sharey=True)
    for side, axes in zip(("left", "right"), panels, strict=True):
        moved = movement(metrics, 1, "sine", side, "middle")
        draw_movement(moved[moved["activation"].isin(style.activation_labels(SHOWN))], axes)
        axes.set(title=f"middle, {side}", ylabel=MEASURES["sine"])
    style.legend_below(distances, panels[0])
    panels = spectra.subplots(1, 2, sharey=True)
    values = mean_singular_values(metrics, layer=1)
    for name, axes in zip(SHOWN, panels, strict=True):
        draw_singular_values(values, name, axes)
    panels[0].set_ylabel(r"$\sigma_i(W_1(t))$")
    style.legend_below(spectra, panels[0])
    return figure
