"""Figure 6: test loss and accuracy of the full network and of the low-rank ones from S_big and from random factors."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.config.data import StoredData
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {"test_loss": "test loss per image", "test_accuracy": "test accuracy (%)"}


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: rows loss and accuracy, columns activations."""
    figure, panels = style.activation_panels(metrics.activations, 3.4, rows=len(PANELS), sharex=True, sharey="row")
    for (quantity, label), row in zip(PANELS.items(), panels, strict=True):
        for activation, axes in zip(metrics.activations, row, strict=True):
            draw_networks(per_image(metrics, quantity, activation=activation), axes)
            axes.set(xlabel="epoch", ylabel=label)
    style.legend_below(figure)
    return figure


def draw_networks(curves: pd.DataFrame, axes: Axes) -> None:
    """Draw a curve of `per_image` for each network."""
    curves["network"] = curves["parameterization"].map(style.PARAMETERIZATIONS)
    networks, dashes = style.PARAMETERIZATIONS.values(), [style.SOLID, style.DASHED, style.DOTTED]
    style.lines(curves, axes, "network", networks, palette=style.COLORS[:3], dashes=dashes)


def per_image(metrics: Metrics, quantity: str, **equal: Any) -> pd.DataFrame:
    """Return the rows of one of `PANELS`: the test loss as a mean over images, the test accuracy in per cent."""
    data = metrics.settings.data
    assert isinstance(data, StoredData), "synthetic data have no test images"
    factors = {"test_loss": 1 / data.test_images, "test_accuracy": 100}
    curves = metrics.frame(quantity, **equal)
    return curves.assign(value=curves["value"] * factors[quantity])
