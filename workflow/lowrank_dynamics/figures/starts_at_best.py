"""Figure starts_at_best: several starts, each at the best learning rate of one grid."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.best_of_grid import at_best, losses_of_finished
from lowrank_dynamics.analysis.scaling import ETA, with_setting
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
    losses = with_setting(metrics, losses_of_finished(metrics), ETA)
    style.network_lines(losses, grid, x=ETA, marker="o", markersize=3)
    rates = sorted(losses[ETA].unique())
    grid.set_xticks(rates, [f"{rate:g}" for rate in rates])
    grid.set_xticks([], minor=True)
    grid.set(xlabel=r"learning rate $\eta$", ylabel="training loss at the end")
    accuracies = at_best(metrics, "test_accuracy")
    percent = accuracies.assign(value=100 * accuracies["value"])
    style.network_lines(percent, curves, linewidth=1.0)
    curves.set(xlabel="epoch", ylabel=PANELS["test_accuracy"])
    style.legend_below(figure, columns=3)
    return figure
