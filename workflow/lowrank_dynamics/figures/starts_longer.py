"""Figure starts_longer: which starts catch up with S_big in five times the epochs."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS, per_image
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw accuracy and loss against epochs, mean over trials with a band of one standard
    deviation.
    """
    longer = metrics.variants["longer"]
    figure, panels = plt.subplots(1, len(PANELS), figsize=(style.PAGE, 3.0))
    for (quantity, label), axes in zip(PANELS.items(), panels, strict=True):
        style.network_lines(per_image(longer, quantity), axes, linewidth=1.0)
        axes.set(xlabel="epoch", ylabel=label)
    style.legend_below(figure, columns=3)
    return figure
