"""Figure 6: test loss and accuracy of the full network and of the low-rank ones from S_big and from random factors."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from lowrank_dynamics.figures import style
from lowrank_dynamics.metrics import Metrics

ROWS = {"test_loss": "test loss per image", "test_accuracy": "test accuracy (%)"}


def draw(metrics: Metrics) -> Figure:
    """Draw the mean over trials with a band of one standard deviation: rows loss and accuracy, columns activations."""
    activations = metrics.activations
    figure, panels = plt.subplots(
        len(ROWS),
        len(activations),
        figsize=(style.TEXT_WIDTH, 3.4),
        layout="constrained",
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    factors = {"test_loss": 1 / metrics.settings["data"]["test_images"], "test_accuracy": 100}
    for (quantity, label), row in zip(ROWS.items(), panels, strict=True):
        for activation, axes in zip(activations, row, strict=True):
            curves = metrics.frame(quantity, activation=activation)
            curves["value"] *= factors[quantity]
            curves["network"] = curves["parameterization"].map(style.PARAMETERIZATIONS)
            sns.lineplot(
                curves,
                x="step",
                y="value",
                hue="network",
                hue_order=style.PARAMETERIZATIONS.values(),
                palette=style.COLORS[:3],
                style="network",
                style_order=style.PARAMETERIZATIONS.values(),
                dashes=[style.SOLID, style.DASHED, style.DOTTED],
                **style.BAND,
                ax=axes,
            )
            axes.set(xlabel="epoch", ylabel=label)
    for axes, title in zip(panels[0], style.activation_labels(activations), strict=True):
        axes.set_title(title)
    style.legend_below(figure, panels[0, 0])
    return figure
