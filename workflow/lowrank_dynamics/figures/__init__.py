"""The figures by name: the experiments whose metrics each shows, and the module that draws it.

To add one, write a module with `draw(*metrics, **options)`, which gets the metrics of each experiment and returns a
matplotlib figure, and add its line to `FIGURES`. This module imports no plotting library, because Snakemake loads it to
build the graph of jobs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FigureSource:
    """Where a figure comes from, and the part of the report that it belongs to.

    The first of `modules`, files of the package, draws it from the metrics of `experiments`, in their order; the others
    are what that one imports. `options` are passed to its `draw`.
    """

    part: str
    experiments: tuple[str, ...]
    modules: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict)


_BLOCK_SHARES = ("figures/block_shares", "optimizers")
_LAYER_MOVEMENT = ("figures/layer_movement", "figures/movement", "figures/singular_values")
_HEADS = ("figures/heads",)
_SMOOTHNESS = ("figures/smooth_against_nonsmooth", "figures/movement", "figures/singular_values")

IN_SHORT = "0. In short"
CASE_STUDY = "1. Case study: six activations"
THEORY = "2. The setting of the theory"
BEYOND = "3. Beyond the theory: deeper networks, other optimizers"
LOW_RANK = "4. Low-rank networks on Fashion-MNIST"
HEADS = "5. Heads of VGG-16"
"""The parts of the report, in the order of the paper; reports sort them by name."""

_OVERVIEW = ("figures/overview", "figures/singular_values", "figures/test_curves")

FIGURES = {
    "overview": FigureSource(IN_SHORT, ("case_study", "deep_whitened", "fashion_mnist"), _OVERVIEW),
    "figure_1": FigureSource(CASE_STUDY, ("case_study",), ("figures/singular_values",)),
    "figure_2": FigureSource(CASE_STUDY, ("case_study",), _SMOOTHNESS),
    "figure_3": FigureSource(THEORY, ("theory_setting",), _BLOCK_SHARES),
    "figure_4": FigureSource(BEYOND, ("deep_whitened",), _BLOCK_SHARES),
    "figure_5": FigureSource(BEYOND, ("deep_unwhitened",), _BLOCK_SHARES),
    "figure_6": FigureSource(LOW_RANK, ("fashion_mnist",), ("figures/test_curves",)),
    "figure_7": FigureSource(HEADS, ("vgg_full_model", "vgg_heads"), _HEADS),
    "figure_8": FigureSource(CASE_STUDY, ("case_study",), _LAYER_MOVEMENT, {"layer": 1}),
    "figure_9": FigureSource(CASE_STUDY, ("case_study",), _LAYER_MOVEMENT, {"layer": 2}),
    "figure_10": FigureSource(CASE_STUDY, ("case_study",), _LAYER_MOVEMENT, {"layer": 3}),
    "figure_11": FigureSource(THEORY, ("first_gradient",), ("figures/first_gradient", "derived")),
    "figure_12": FigureSource(THEORY, ("theory_setting",), ("figures/gradient_decay", "derived")),
    "figure_13": FigureSource(THEORY, ("theory_setting",), ("figures/gradient_tail", "derived")),
    "figure_14": FigureSource(LOW_RANK, ("rotated_factors",), ("figures/rotated_factors", "figures/test_curves")),
    "figure_15": FigureSource(HEADS, ("vgg_heads",), ("figures/head_ranks", *_HEADS)),
    "bound": FigureSource(THEORY, ("theory_over_eps",), ("figures/bound", "derived")),
}
FORMATS = ("pdf", "svg", "png")


def title(name: str) -> str:
    """Return what a figure is called in a heading."""
    return "Bound of theorem 3.5" if name == "bound" else name.replace("_", " ").capitalize()


def sortable(words: str) -> str:
    """Return words such as `Figure 6` so that, as text, they sort before `Figure 14`; a page shows no difference."""
    return re.sub(r" (?=\d\b)", "  ", words)
