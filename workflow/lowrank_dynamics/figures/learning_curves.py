"""Figure 6: test loss and accuracy of the full network and of the low-rank ones from S_big and from
random factors.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.config.data import StoredData
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

PANELS = {"test_loss": "test loss per image", "test_accuracy": "test accuracy (%)"}


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: rows loss and accuracy,
    columns activations.
    """
    figure, panels = style.activation_panels(
        metrics.activations, 3.8, rows=len(PANELS), sharex=True, sharey="row"
    )
    for (quantity, label), row in zip(PANELS.items(), panels, strict=True):
        for activation, axes in zip(metrics.activations, row, strict=True):
            style.network_lines(per_image(metrics, quantity, activation=activation), axes)
            axes.set(xlabel="epoch", ylabel=label)
            axes.label_outer()
    style.legend_below(figure)
    return figure


def per_image(metrics: Metrics, quantity: str, **equal: Any) -> pd.DataFrame:
    """Return the rows of one of `PANELS`: the test loss as a mean over images, the test accuracy in
    percent.
    """
    data = metrics.settings.data
    assert isinstance(data, StoredData), "synthetic data have no test images"
    factors = {"test_loss": 1 / data.test_images, "test_accuracy": 100}
    curves = metrics.frame(quantity, **equal)
    return curves.assign(value=curves["value"] * factors[quantity])
