"""How far the singular subspaces have moved: shared by figure 2 and figures 8-10."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

MEASURES = {"sine": r"$\|\sin\Theta\|_2/\sqrt{\dim}$", "angle": "largest angle (°)"}


def draw_movement(metrics: Metrics, layer: int, quantity: str, axes: Axes, **equal: Any) -> None:
    """Draw a movement such as `sine_left_top` in one layer, angles in degrees, from the reference iterate on."""
    moved = metrics.frame(quantity, layer=layer, **equal)
    if quantity.startswith("angle"):
        moved["value"] = np.degrees(moved["value"])
    style.activation_lines(moved, axes)
    axes.set(xlabel="step $t$", ylabel="")
