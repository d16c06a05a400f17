"""Figure 6: test loss and accuracy of the full network and of the low-rank ones from S_big and from random factors."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.config.data import StoredData
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {"test_loss": "test loss per image", "test_accuracy": "test accuracy (%)"}


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: rows loss and accuracy, columns activations."""
    activations = metrics.activations
    figure, panels = plt.subplots(
        len(PANELS),
        len(activations),
        figsize=(style.TEXT_WIDTH, 3.4),
        layout="constrained",
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for (quantity, label), row in zip(PANELS.items(), panels, strict=True):
        for activation, axes in zip(activations, row, strict=True):
            curves = per_image(metrics, quantity, activation=activation)
            draw_networks(curves, axes)
            axes.set(xlabel="epoch", ylabel=label)
    for axes, title in zip(panels[0], style.activation_labels(activations), strict=True):
        axes.set_title(title)
    style.legend_below(figure, panels[0, 0])
    return figure


def draw_networks(curves: pd.DataFrame, axes: Axes) -> None:
    """Draw a curve of `per_image` for each network: mean over trials, band of one standard deviation."""
    curves["network"] = curves["parameterization"].map(style.PARAMETERIZATIONS)
    dashes = [style.SOLID, style.DASHED, style.DOTTED]
    networks = style.PARAMETERIZATIONS.values()
    style.lines(curves, axes, "network", networks, palette=style.COLORS[:3], dashes=dashes)


def per_image(metrics: Metrics, quantity: str, **equal: Any) -> pd.DataFrame:
    """Return the rows of one of `PANELS`: the test loss as a mean over images, the test accuracy in per cent."""
    data = metrics.settings.data
    assert isinstance(data, StoredData), "synthetic data have no test images"
    factors = {"test_loss": 1 / data.test_images, "test_accuracy": 100}
    curves = metrics.frame(quantity, **equal)
    curves["value"] *= factors[quantity]
    return curves
