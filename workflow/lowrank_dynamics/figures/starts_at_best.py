"""Figure starts_at_best: several starts, each at the best learning rate of one grid."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.best_of_grid import at_best, losses_of_finished
from lowrank_dynamics.analysis.scaling import of_variants
from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import PANELS
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw the training loss at the end against the learning rate, and the test accuracy along
    training at the rate with the least: mean over trials, geometric for the loss, band of one
    standard deviation.

    A learning rate at which a trial diverged has no point.
    """
    figure, (grid, curves) = plt.subplots(1, 2, figsize=(style.PAGE, 2.7))
    grid.set(xscale="log", yscale="log")
    losses = _over_rates(metrics)
    style.network_lines(losses, grid, x="rate", marker="o", markersize=3)
    rates = sorted(losses["rate"].unique())
    grid.set_xticks(rates, [f"{rate:g}" for rate in rates])
    grid.set_xticks([], minor=True)
    grid.set(xlabel=r"learning rate $\eta$", ylabel="training loss at the end")
    accuracies = at_best(metrics, "test_accuracy")
    percent = accuracies.assign(value=100 * accuracies["value"])
    style.network_lines(percent, curves, linewidth=1.0)
    curves.set(xlabel="epoch", ylabel=PANELS["test_accuracy"])
    style.legend_below(figure, columns=3)
    return figure


def _over_rates(metrics: Metrics) -> pd.DataFrame:
    """Return the training loss at the end, by learning rate, of cells without a diverged trial."""
    ends = losses_of_finished(metrics)
    rates = of_variants(metrics, "training.learning_rate")
    return ends.assign(rate=ends["variant"].astype(str).map(rates))
