"""Figure longer: figures 6 and 14 with five times the epochs at a constant learning rate: which
networks are stuck, and which are slow.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from lowrank_dynamics.analysis.trial_values import with_start
from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import per_image
from lowrank_dynamics.figures.rotated_factors import draw_angles
from lowrank_dynamics.storage.metrics import Metrics


def draw(factors: Metrics, rotated: Metrics) -> Figure:
    """Draw the test loss and the norm of the gradient of all trained weights, relative to that at
    the start: the networks of figure 6 by activation on the left, the angles of figure 14 on the
    right.

    Mean over trials, geometric for the gradient, band of one standard deviation.
    """
    figure = plt.figure(figsize=(style.PAGE, 3.8))
    count = len(factors.activations)
    left, right = figure.subfigures(1, 2, width_ratios=[count, 1.3], squeeze=False).flat
    _draw_factors(left, factors)
    (loss,), (gradient,) = right.subplots(2, 1, sharex=True, squeeze=False)
    draw_angles(rotated, per_image(rotated, "test_loss"), loss)
    gradient.set_yscale("log")
    draw_angles(rotated, _relative_gradients(rotated), gradient)
    loss.set_title("figure 14")
    _label([loss], [gradient])
    style.legend_below(right, columns=2)
    return figure


def _draw_factors(figure: SubFigure, metrics: Metrics) -> None:
    """Draw a column for each activation, a line for each network."""
    names = metrics.activations
    panels = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    norms = _relative_gradients(metrics)
    for name, (loss, gradient) in zip(names, panels.T, strict=True):
        style.network_lines(per_image(metrics, "test_loss", activation=name), loss)
        gradient.set_yscale("log")
        style.network_lines(norms[norms["activation"] == name], gradient)
        loss.set_title(f"figure 6, {registries.activation(name).label}")
    _label(*panels)
    style.legend_below(figure, columns=1)  # as many rows as beside it


def _relative_gradients(metrics: Metrics) -> pd.DataFrame:
    """Return the norm of the gradient relative to that at step 0 of the same trial."""
    norms = with_start(metrics.frame("loss_gradient_norm"))
    return norms.assign(value=norms["value"] / norms["start"])


def _label(losses: Sequence[Axes], gradients: Sequence[Axes]) -> None:
    for axes in losses:
        axes.set(xlabel="", ylabel="test loss per image")
        axes.label_outer()
    for axes in gradients:
        axes.set(xlabel="epoch", ylabel="norm of the gradient / first")
        axes.label_outer()
