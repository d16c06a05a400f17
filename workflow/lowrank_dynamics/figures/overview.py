"""The overview: the paper's point in four panels, from what moves to what follows from it."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import per_image
from lowrank_dynamics.figures.singular_values import draw_singular_values
from lowrank_dynamics.storage.metrics import Metrics


def draw(case_study: Metrics, deep_whitened: Metrics, fashion_mnist: Metrics) -> Figure:
    """Draw the singular values of a smooth and of a nonsmooth network, the share of block 1, and
    the test accuracy.
    """
    figure = plt.figure(figsize=(style.PAGE, 2.3))
    left, middle, right = figure.subfigures(1, 3, width_ratios=(2.1, 1.1, 1.1), squeeze=False).flat
    spectra = left.subplots(1, 2, sharey=True)
    values = draw_singular_values(case_study, 1, ("elu", "relu"), spectra)
    values = values[values["activation"].isin(("elu", "relu"))]
    for axes, title in zip(
        spectra, ("ELU: few singular values move", "ReLU: most of them do"), strict=True
    ):
        axes.set(title=title, ylim=(0, 1.04 * values["value"].max()))
    spectra[0].set_ylabel(r"$\sigma_i(W_1(t))$")
    shares = deep_whitened.frame("block_share", index=1, activation="gelu")
    shares["layer"] = "layer " + shares["layer"].astype(str)
    axes = middle.subplots()
    style.lines(shares, axes, "layer", palette=style.COLORS[:3])
    title = "GELU: in block 1"
    axes.set(title=title, xlabel="step $t$", ylabel="share of block 1", ylim=(0, 1.03))
    axes = right.subplots()
    style.network_lines(per_image(fashion_mnist, "test_accuracy", activation="gelu"), axes)
    axes.set(
        title="GELU: full and low-rank",
        xlabel="epoch",
        ylabel="test accuracy (%)",
        ylim=(0, 100),
    )
    for part in (left, middle, right):
        style.legend_below(part, columns=1)
    return figure
