"""Figure 14: test loss and accuracy of low-rank networks whose factors are rotated away from S_big
by psi degrees.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS, per_image
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation, a line for each angle."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(style.PAGE, 2.3))
    angles = {
        rf"$\psi = {variant.settings.network.rotation:g}^\circ$": variant
        for variant in metrics.variants.values()
    }
    for (quantity, label), axes in zip(PANELS.items(), panels, strict=True):
        curves = pd.concat(
            per_image(variant, quantity).assign(angle=angle) for angle, variant in angles.items()
        )
        style.lines(curves, axes, "angle", angles, palette="viridis")
        axes.set(xlabel="epoch", ylabel=label)
    style.legend_below(figure)
    return figure
