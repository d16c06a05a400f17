"""The figures by name: the experiment whose metrics each shows, and the module that draws it.

To add one, write a module with `draw(metrics, **options)` that returns a matplotlib figure, and add its line to
`FIGURES`. This module imports no plotting library, because Snakemake loads it to build the graph of jobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FigureSource:
    """Where a figure comes from.

    The first of `modules` draws it, the others are what that one imports; `options` are passed to its `draw`.
    """

    experiment: str
    modules: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict)


_LAYER_MOVEMENT = ("layer_movement", "movement", "singular_values")

FIGURES = {
    "figure_1": FigureSource("case_study", ("singular_values",)),
    "figure_2": FigureSource("case_study", ("smooth_against_nonsmooth", "movement", "singular_values")),
    "figure_3": FigureSource("theory_setting", ("block_shares",)),
    "figure_4": FigureSource("deep_whitened", ("block_shares",)),
    "figure_5": FigureSource("deep_unwhitened", ("block_shares",)),
    "figure_6": FigureSource("fashion_mnist", ("test_curves",)),
    "figure_8": FigureSource("case_study", _LAYER_MOVEMENT, {"layer": 1}),
    "figure_9": FigureSource("case_study", _LAYER_MOVEMENT, {"layer": 2}),
    "figure_10": FigureSource("case_study", _LAYER_MOVEMENT, {"layer": 3}),
    "figure_11": FigureSource("first_gradient", ("first_gradient",)),
    "figure_12": FigureSource("theory_setting", ("gradient_decay",)),
    "figure_13": FigureSource("theory_setting", ("gradient_tail",)),
    "figure_14": FigureSource("rotated_factors", ("rotated_factors", "test_curves")),
    "bound": FigureSource("theory_over_eps", ("bound",)),
}
FORMATS = ("pdf", "svg", "png")
