"""The figures by name: what each shows, its module, and its place in the report."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lowrank_dynamics.errors import UserError


class FigureSource(NamedTuple):
    """A figure: its part of the report, the experiments it shows, and the module in `figures` that
    draws it.

    The module's `draw` gets the metrics of each experiment, in this order, and the `options`; where
    the `optional` experiments were not run, those of the others. A figure that shows a `table` of
    the run gets that instead; its module has `COLUMNS`, and no run draws it by itself. The module
    of one that is `animated` also has `frames`, of which the figure is the last.
    """

    part: str
    experiments: tuple[str, ...]
    module: str
    options: Mapping[str, int] = {}
    optional: tuple[str, ...] = ()
    table: str = ""
    animated: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """The experiments without which it cannot be drawn."""
        return tuple(name for name in self.experiments if name not in self.optional)


SUMMARY = "0. Summary"
CASE_STUDY = "1. Case study: six activations"
THEORY = "2. The setting of the theory"
BEYOND = "3. Beyond the theory: deeper networks, other optimizers"
LOW_RANK = "4. Low-rank networks on Fashion-MNIST"
HEADS = "5. Heads of VGG-16"
OURS = "6. Beyond the paper"
"""The parts of the report, in the paper's order; reports sort them by name."""

FIGURES = {
    "overview": FigureSource(SUMMARY, ("case_study", "deep_whitened", "fashion_mnist"), "overview"),
    "emergence": FigureSource(SUMMARY, ("emergence",), "emergence", animated=True),
    "figure_1": FigureSource(CASE_STUDY, ("case_study",), "singular_values"),
    "figure_2": FigureSource(CASE_STUDY, ("case_study",), "smooth_against_nonsmooth"),
    "figure_3": FigureSource(THEORY, ("theory_setting",), "block_shares"),
    "figure_4": FigureSource(BEYOND, ("deep_whitened",), "block_shares"),
    "figure_5": FigureSource(BEYOND, ("deep_unwhitened",), "block_shares"),
    "figure_6": FigureSource(LOW_RANK, ("fashion_mnist",), "learning_curves"),
    "figure_7": FigureSource(
        HEADS, ("vgg_full_model", "vgg_heads"), "heads", optional=("vgg_full_model",)
    ),
    "figure_8": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 1}),
    "figure_9": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 2}),
    "figure_10": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 3}),
    "figure_11": FigureSource(THEORY, ("first_gradient",), "first_gradient"),
    "figure_12": FigureSource(THEORY, ("theory_setting",), "gradient_decay"),
    "figure_13": FigureSource(THEORY, ("theory_setting",), "gradient_tail"),
    "figure_14": FigureSource(LOW_RANK, ("rotated_factors",), "rotated_factors"),
    "longer": FigureSource(LOW_RANK, ("fashion_mnist_longer", "rotated_factors_longer"), "longer"),
    "figure_15": FigureSource(HEADS, ("vgg_heads",), "head_ranks"),
    "bound": FigureSource(THEORY, ("theory_over_eps",), "bound"),
    "sensitivity": FigureSource(SUMMARY, (), "sensitivity", table="sensitivity"),
    "smoothness": FigureSource(OURS, ("smoothness",), "smoothness"),
    "rank_of_change": FigureSource(
        OURS, ("rank_of_change", "deep_rank_of_change"), "rank_of_change"
    ),
    "share_of_block_1": FigureSource(
        OURS, ("share_and_size", "share_and_depth"), "share_of_block_1"
    ),
    "past_the_fit": FigureSource(OURS, ("past_the_fit",), "past_the_fit"),
    "near_linearity": FigureSource(OURS, ("near_linearity",), "near_linearity"),
    "constants": FigureSource(OURS, ("constants",), "constants"),
    "projected": FigureSource(
        OURS, ("projected_case_study", "projected_fashion_mnist"), "projected"
    ),
    "where_it_follows": FigureSource(
        OURS, ("nonsmooth_fashion_mnist", "digits"), "where_it_follows"
    ),
    "starts_at_best": FigureSource(OURS, ("starts_at_best",), "starts_at_best"),
    "transformer": FigureSource(
        OURS, ("transformer_block", "transformer_block_by_spectrum"), "transformer"
    ),
    "starts": FigureSource(OURS, ("starts",), "starts"),
    "starts_longer": FigureSource(OURS, ("starts",), "starts_longer"),
}
FORMATS = ("pdf", "svg", "png")
"""The formats of every figure."""
ANIMATION = "gif"
"""The format of an animation, which an animated figure has besides."""
ANIMATED = [name for name, figure in FIGURES.items() if figure.animated]


def figures_of(experiments: Iterable[str]) -> list[str]:
    """Return the names of the figures that a run of these experiments draws."""
    run = set(experiments)
    return [
        name
        for name, figure in FIGURES.items()
        if not figure.table and run.issuperset(figure.experiments)
    ]


NAMES = {
    "case_study": "singular values",
    "deep_whitened": "block 1",
    "fashion_mnist": "Fashion-MNIST",
    "vgg_full_model": "(a)",
    "vgg_heads": "(b)",
    "fashion_mnist_longer": "figure 6",
    "rotated_factors_longer": "figure 14",
    "rank_of_change": "two layers",
    "deep_rank_of_change": "four layers",
    "share_and_size": "width, samples and inputs",
    "share_and_depth": "depth",
    "projected_case_study": "training loss",
    "projected_fashion_mnist": "test accuracy",
    "nonsmooth_fashion_mnist": "Fashion-MNIST",
    "transformer_block": "K of outputs",
    "transformer_block_by_spectrum": "K of the spectrum",
}
"""What readers of a figure of several experiments see of each."""


def require_sources(experiments: Collection[str]) -> None:
    """Raise UserError if a figure is drawn from anything but these experiments."""
    for name, figure in FIGURES.items():
        for experiment in figure.experiments:
            if experiment not in experiments:
                raise UserError(
                    f"figure {name} is drawn from {experiment!r}, which is no experiment; correct"
                    " its entry in config/figures.py"
                )


def require_captions(folder: Path) -> None:
    """Raise UserError, naming the file, if a figure has no caption in a folder."""
    for name, figure in FIGURES.items():
        caption = folder / f"{name}.rst"
        if not figure.table and not caption.exists():
            raise UserError(f"{caption} is missing; say there what to look for in figure {name}")


def in_words(experiment: str) -> str:
    """Return what readers of a figure see of an experiment."""
    return NAMES.get(experiment, experiment.replace("_", " "))


def title(name: str) -> str:
    """Return the heading of the figure called `name`."""
    return "Bound of theorem 3.5" if name == "bound" else name.replace("_", " ").capitalize()


def short_title(name: str) -> str:
    """Return the name of a figure as a column of figures has it, such as `6` or `bound`."""
    return name.removeprefix("figure_")


def sortable(words: str) -> str:
    """Return words such as `Figure 6` so that they sort before `Figure 14` as text; pages show no
    difference.
    """
    return re.sub(r" (?=\d\b)", "  ", words)
