"""Figure where_it_follows: figure 6 with activations that are not smooth, and on other images."""

from collections.abc import Iterator
from itertools import chain

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import per_image
from lowrank_dynamics.storage.metrics import Metrics


def draw(nonsmooth: Metrics, digits: Metrics) -> Figure:
    """Draw the test accuracy, a panel for each activation on either images: mean over trials, band
    of one standard deviation.
    """
    panels = list(chain(_panels(nonsmooth, "Fashion-MNIST"), _panels(digits, "digits")))
    figure, row = plt.subplots(1, len(panels), figsize=(style.PAGE, 2.15), sharey=True)
    for (title, rows), axes in zip(panels, row, strict=True):
        style.network_lines(rows, axes)
        axes.set(title=title, xlabel="epoch", ylabel="test accuracy (%)")
        axes.label_outer()
    style.legend_below(figure)
    return figure


def _panels(metrics: Metrics, images: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the rows of each panel."""
    for name in metrics.activations:
        label = registries.activation(name).label
        yield f"{images}\n{label}", per_image(metrics, "test_accuracy", activation=name)
