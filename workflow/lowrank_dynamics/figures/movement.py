"""How far the singular subspaces have moved: shared by figure 2 and figures 8-10."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lowrank_dynamics.config.registries import ACTIVATIONS
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

MEASURES = {"sine": r"$\|\sin\Theta\|_2/\sqrt{\dim}$", "angle": "largest angle (°)"}


def movement(metrics: Metrics, layer: int, measure: str, side: str, group: str) -> pd.DataFrame:
    """Return the movement of one group of left or right singular vectors of one layer, angles in degrees.

    One row a trial and step, from the reference iterate on, with the activation's label.
    """
    moved = metrics.frame(f"{measure}_{side}_{group}", layer=layer)
    moved["activation"] = style.activation_labels(moved["activation"])
    if measure == "angle":
        moved["value"] = np.degrees(moved["value"])
    return moved


def draw_movement(moved: pd.DataFrame, axes: Axes) -> None:
    """Draw the mean over trials with a band of one standard deviation, smooth activations solid, nonsmooth dashed."""
    shown = [activation for activation in ACTIVATIONS.values() if activation.label in set(moved["activation"])]
    dashes = [style.SOLID if activation.smooth else style.DASHED for activation in shown]
    style.lines(moved, axes, "activation", [activation.label for activation in shown], dashes=dashes)
    axes.set(xlabel="step $t$", ylabel="")
