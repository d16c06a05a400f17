"""Figure emergence: where the change of the first layer lies, with smooth and nonsmooth
activations, frame by frame.
"""

from collections.abc import Iterator
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lowrank_dynamics.config import registries
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

COLORS = "gist_heat_r"
"""The colors of the entries, from white to black."""
TRIAL = 0
"""The trial that is shown."""


class Corner(NamedTuple):
    """The number of rows and columns of block 1."""

    rows: int
    columns: int


class Network(NamedTuple):
    """One network: its `changes` (steps, m, d) and losses by step, and what shows them."""

    label: str
    changes: NDArray[np.float64]
    losses: "pd.Series[float]"
    image: AxesImage
    curve: Line2D


def draw(metrics: Metrics) -> Figure:
    """Draw the last frame."""
    *_, last = frames(metrics)
    return last


def frames(metrics: Metrics) -> Iterator[Figure]:
    """Yield one figure as it is at each step: |U_1' (W_1(t) - W_1(0)) V_1|, a panel for each
    activation with lines around block 1 and its share, and the training loss so far.
    """
    figure = plt.figure(figsize=(style.PAGE, 4.3))
    above, below = figure.subfigures(2, 1, height_ratios=[3, 1], squeeze=False).flat
    entries = _entries(metrics)
    corner = _corner(metrics)
    networks = _networks(metrics, entries, corner, above, below.subplots())
    for place, step in enumerate(sorted(entries["step"].unique())):
        for network in networks:
            change = network.changes[place]
            losses = network.losses.loc[:step]
            network.image.set_data(change)
            network.image.axes.set_title(f"{network.label}: {_share(change, corner)}")
            network.curve.set_data(losses.index, losses)
        yield figure


def _entries(metrics: Metrics) -> pd.DataFrame:
    return metrics.frame("block_magnitude", trial=TRIAL, layer=1)


def _corner(metrics: Metrics) -> Corner:
    settings = metrics.settings
    inside = 2 * (settings.observe.block_rank or settings.data.classes)
    return Corner(settings.network.width - settings.dimension + inside, inside)


def _networks(
    metrics: Metrics, entries: pd.DataFrame, corner: Corner, above: SubFigure, below: Axes
) -> list[Network]:
    """Return the networks, and draw what stays the same in all frames."""
    names = metrics.activations
    colors = style.activation_colors(names)
    panels = above.subplots(1, len(names), squeeze=False).flat
    losses = metrics.frame("train_loss", trial=TRIAL)
    shape = (-1, metrics.settings.network.width, metrics.settings.dimension)
    networks = []
    for name, axes in zip(names, panels, strict=True):
        of_network = entries[entries["activation"] == name]
        by_step = of_network.pivot(index="step", columns="index", values="value")
        changes = by_step.to_numpy().reshape(shape)
        loss = losses[losses["activation"] == name].set_index("step")["value"]
        entry = registries.activation(name)
        image = _draw_panel(axes, changes[-1], entries["value"].max(), corner)
        dashes = style.activation_dashes(name)
        (curve,) = below.plot([], [], color=colors[name], dashes=dashes, label=entry.label)
        networks.append(Network(entry.label, changes, loss / loss.iloc[0], image, curve))
    bar = above.colorbar(image, ax=above.axes, shrink=0.9)
    bar.set_label(r"$|U_1'(W_1(t) - W_1(0))V_1|$")
    last = entries["step"].max()
    highest = max(network.losses.max() for network in networks)
    below.set(xlabel="step $t$", ylabel="training loss / first")
    below.set(xlim=(0, last), ylim=(0, 1.05 * highest))
    below.legend(loc="upper right")
    return networks


def _draw_panel(
    axes: Axes, change: NDArray[np.float64], largest: float, corner: Corner
) -> AxesImage:
    """Draw a change (m, d), from white to the `largest` of all, and lines around block 1."""
    image = axes.imshow(change, cmap=COLORS, vmin=0, vmax=largest, interpolation="nearest")
    rows, columns = change.shape
    axes.axhline(corner.rows - 0.5, color="0.4", linewidth=0.8)
    axes.axvline(corner.columns - 0.5, color="0.4", linewidth=0.8)
    axes.set_xticks([corner.columns - 0.5, columns - 0.5], ["$2K$", "$d$"])
    axes.set_yticks([corner.rows - 0.5, rows - 0.5], [_size(corner), "$m$"])
    axes.spines[:].set_visible(True)
    return image


def _size(corner: Corner) -> str:
    return "$2K$" if corner.rows == corner.columns else "$m - d + 2K$"


def _share(change: NDArray[np.float64], corner: Corner) -> str:
    """Return the share of block 1 in the squared change, in words."""
    whole = np.square(change).sum()
    if whole == 0:
        return "no change"
    inside = np.square(change[: corner.rows, : corner.columns]).sum()
    return f"{100 * inside / whole:.0f} % of the change in block 1"
