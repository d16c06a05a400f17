"""Figure constants: how loose the constants derived in docs/beyond.md for theorem 3.5 are."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.analysis.fits import CELL, until_first_end
from lowrank_dynamics.analysis.scaling import of_variants, ratios, with_setting
from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.metrics import Metrics


def draw(metrics: Metrics) -> Figure:
    """Draw measured / bound: the curvature along training, at the middle eps, and
    sigma_{K+1}(G_1(0)) against eps.

    Mean over trials, until the first of them ends, band of one standard deviation; geometric on the
    right.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.6))
    variants = metrics.variants
    eps = of_variants(metrics, "network.eps")
    by_eps = sorted(variants, key=lambda name: eps[name])
    middle = variants[by_eps[len(by_eps) // 2]]
    curvature = ratios(middle, "curvature", "curvature_bound")
    curvature = until_first_end(curvature, middle, CELL)
    tail = with_setting(metrics, ratios(metrics, "first_tail", "first_tail_bound"), "network.eps")
    # all of them are smooth, so solid elsewhere; here one curve lies on another
    dashes = [style.SOLID, style.DASHED, style.DOTTED, style.DASH_DOTTED]
    style.activation_lines(curvature, left, dashes=dashes)
    right.set(xscale="log", yscale="log")
    markers = list(style.MARKERS[: len(metrics.activations)])
    look = {"markers": markers, "markersize": 4, "dashes": dashes}
    style.activation_lines(tail, right, x="network.eps", **look)
    for axes in (left, right):
        axes.axhline(1, color="0.6", linewidth=0.6, zorder=0)
    left.set(
        xlabel="step $t$", ylabel="measured / bound", ylim=(0, 1.05), title=r"curvature / $\gamma$"
    )
    right.set(xlabel=r"$\epsilon$", ylabel="", title=r"$\sigma_{K+1}(G_1(0))\, /\, (C_1 \epsilon)$")
    style.legend_below(figure)
    return figure
