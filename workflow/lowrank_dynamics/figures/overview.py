"""The overview: the paper's point in four panels, from what moves to what follows from it."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.figures.learning_curves import draw_networks, per_image
from lowrank_dynamics.figures.singular_values import draw_singular_values
from lowrank_dynamics.storage.metrics import Metrics

WIDTH = 9.0  # inches; for a page that is read on a screen


def draw(case_study: Metrics, deep_whitened: Metrics, fashion_mnist: Metrics) -> Figure:
    """Draw the singular values of a smooth and of a nonsmooth network, the share of block 1, and the test accuracy."""
    figure, panels = plt.subplots(1, 4, figsize=(WIDTH, 2.6))
    values = draw_singular_values(case_study, 1, ("elu", "relu"), panels[:2])
    for axes, title in zip(panels, ("ELU: few singular values move", "ReLU: most of them do"), strict=False):
        axes.set(title=title, ylabel=r"$\sigma_i(W_1(t))$", ylim=(0, 1.04 * values["value"].max()))
    shares = deep_whitened.frame("block_share", index=1, activation="gelu")
    shares["layer"] = "layer " + shares["layer"].astype(str)
    style.lines(shares, panels[2], "layer", palette=style.COLORS[:3])
    title = r"GELU: in $S_{\mathrm{big}}$ ..."
    panels[2].set(title=title, xlabel="step $t$", ylabel="share of block 1", ylim=(0, 1.03))
    draw_networks(per_image(fashion_mnist, "test_accuracy", activation="gelu"), panels[3])
    panels[3].set(title="... and width $2K$ is enough", xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 100))
    for axes in panels:
        sns.move_legend(axes, "upper center", bbox_to_anchor=(0.5, -0.3), title=None)
    return figure
