"""Figure smoothness: what the curvature beta of phi_beta and the size eps of the start decide, and
what they do not.
"""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.scaling import of_variants, tails
from lowrank_dynamics.analysis.trial_values import value_at_end
from lowrank_dynamics.config.registries import activation
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics

NAMED = {"silu": 1.0, "gelu": 1.702}
"""The beta at which an activation is phi_beta, or nearly."""
RELU: dict[str, Any] = {"color": "black", "dashes": style.DASHED, "linewidth": 0.8}
"""How the horizontal line of ReLU looks."""


def draw(metrics: Metrics) -> Figure:
    """Draw the tail of G_1(0) against beta eps, and the share of block 1 at the linear fit against
    beta.

    Mean over trials, geometric for the tail, band of one standard deviation.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.9))
    _draw_tails(next(iter(metrics.variants.values())), left)
    _draw_shares(metrics, right)
    look = {"ncols": 3, "title": None, "fontsize": style.NOTE}
    for axes in (left, right):
        sns.move_legend(axes, "upper center", bbox_to_anchor=(0.5, -0.22), **look)
    return figure


def _draw_tails(metrics: Metrics, axes: Axes) -> None:
    """Draw the tail for each beta and eps, and that of ReLU, which has no beta, as a horizontal
    line.
    """
    rows = tails(metrics)
    labels = {}
    for name in metrics.activations:
        if "beta" in activation(name).options:
            labels[name] = activation(name).label
    rows["curve"] = rows["activation"].map(labels)
    axes.set(xscale="log", yscale="log")
    look = {
        "markers": ["o"] * len(labels),
        "markersize": 4,
        "dashes": False,
        "palette": sns.color_palette("viridis", len(labels)),
    }
    style.lines(rows, axes, "curve", labels.values(), x="product", **look)
    if "relu" in metrics.activations:
        plateau = metrics.frame("gradient_tail", activation="relu")["value"].mean()
        axes.axhline(plateau, label="ReLU, every $\\epsilon$", **RELU)
        axes.legend()
    axes.set(xlabel=r"$\beta\,\epsilon$", ylabel=r"$\sigma_{K+1}/\sigma_K$ of $G_1(0)$")


def _draw_shares(metrics: Metrics, axes: Axes) -> None:
    """Draw a line for each eps, named activations as points, and ReLU as a horizontal line."""
    eps, betas = {}, {}
    for name, value in of_variants(metrics, "network.eps").items():
        eps[name] = rf"$\epsilon = {value:g}$"
    for name in metrics.activations:
        betas[name] = activation(name).options.get("beta")
    rows = value_at_end(metrics, "block_share", 1)
    rows = rows.assign(curve=rows["variant"].map(eps), beta=rows["activation"].map(betas))
    axes.set(xscale="log")
    look = {
        "markers": list(style.MARKERS[: len(eps)]),
        "markersize": 4,
        "palette": style.COLORS[: len(eps)],
    }
    style.lines(rows.dropna(subset="beta"), axes, "curve", eps.values(), x="beta", **look)
    for name, beta in NAMED.items():
        axes.axvline(beta, color="0.6", linewidth=0.6, zorder=0)
        text = axes.text(
            beta, 0.12, activation(name).label, transform=axes.get_xaxis_transform(), rotation=90
        )
        text.set(fontsize=style.NOTE, color="0.4", horizontalalignment="right")
    _mark(rows, "gelu", NAMED["gelu"], axes)
    if "relu" in metrics.activations:
        share = rows.loc[rows["activation"] == "relu", "value"].mean()
        axes.axhline(share, label="ReLU", **RELU)
    axes.legend()
    axes.set(xlabel=r"$\beta$", ylabel="share of block 1 at the linear fit")


def _mark(rows: pd.DataFrame, name: str, beta: float, axes: Axes) -> None:
    """Draw the share of a named activation as a point, if it was run."""
    shares = rows.loc[rows["activation"] == name, "value"]
    if len(shares):
        look: dict[str, Any] = {"marker": "*", "s": 40, "color": "black", "zorder": 3}
        axes.scatter([beta], [shares.mean()], label=activation(name).label, **look)
