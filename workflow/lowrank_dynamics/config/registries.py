"""The tables of names that settings may use: activations, optimizers, observables, images, convolutions, figures.

Code is named as `package:attribute`, so that settings are checked and the graph of jobs is built without torch or a
plotting library.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple


class Activation(NamedTuple):
    """One activation phi with phi(0) = 0.

    `smooth`: phi has bounded first and second derivatives (section 3). The class of a `random` activation takes the
    generators of the stacked trials, the others take the `options`. One with a `parameter` is named with its value,
    such as `swish_1.702`, which is an option too, and which its label has in place of braces.
    """

    target: str
    label: str
    smooth: bool
    random: bool = False
    options: Mapping[str, Any] = {}
    parameter: str = ""


IN_PLACE = {"inplace": True}
"""For activations whose output determines their derivative: overwriting the input saves memory and time."""

ACTIVATIONS = {
    "elu": Activation("torch.nn:ELU", "ELU", smooth=True, options=IN_PLACE),
    "gelu": Activation("torch.nn:GELU", "GELU", smooth=True),
    "silu": Activation("torch.nn:SiLU", "SiLU", smooth=True),
    "tanh": Activation("torch.nn:Tanh", "tanh", smooth=True),
    "relu": Activation("torch.nn:ReLU", "ReLU", smooth=False, options=IN_PLACE),
    "leaky_relu": Activation("torch.nn:LeakyReLU", "Leaky-ReLU", smooth=False, options=IN_PLACE),
    "rrelu": Activation("lowrank_dynamics.models.networks:RReLU", "RReLU", smooth=False, random=True),
    "identity": Activation("torch.nn:Identity", "identity", smooth=True),
    "swish": Activation("lowrank_dynamics.models.networks:Swish", r"$\beta = {}$", smooth=True, parameter="beta"),
}


def activation(name: str) -> Activation:
    """Return the activation that a setting names, such as `elu` or `swish_1.702`. Raises ValueError for others."""
    if (found := _parsed(name)) is None:
        known = (f"{name}_<{each.parameter}>" if each.parameter else name for name, each in ACTIVATIONS.items())
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    entry = ACTIVATIONS[found.entry]
    if not entry.parameter:
        return entry
    return entry._replace(label=entry.label.format(f"{found.value:g}"), options={entry.parameter: found.value})


def in_order(names: Iterable[str]) -> list[str]:
    """Return those of the names that are activations, in the order of `ACTIVATIONS` and of their parameters."""
    found = {name: parsed for name in names if (parsed := _parsed(name))}
    return sorted(found, key=lambda name: (list(ACTIVATIONS).index(found[name].entry), found[name].value))


class _Parsed(NamedTuple):
    entry: str
    value: float


def _parsed(name: str) -> _Parsed | None:
    """Return the entry that a name is of and the value of its parameter, 0 if it has none; None for other names."""
    if name in ACTIVATIONS and not ACTIVATIONS[name].parameter:
        return _Parsed(name, 0.0)
    entry, _, text = name.rpartition("_")
    is_number = re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) is not None and float(text) > 0
    if is_number and entry in ACTIVATIONS and ACTIVATIONS[entry].parameter:
        return _Parsed(entry, float(text))
    return None


class Optimizer(NamedTuple):
    """One optimizer: its class, how a figure labels it, and its options besides learning rate and weight decay."""

    target: str
    label: str
    options: Mapping[str, Any] = {}


OPTIMIZERS = {
    "gradient_descent": Optimizer("lowrank_dynamics.training.optimizer:GradientDescent", "gradient descent"),
    "sgd_momentum": Optimizer("torch.optim:SGD", "SGD with momentum", {"momentum": 0.9, "fused": True}),
    "adam": Optimizer("torch.optim:Adam", "Adam"),
    "muon": Optimizer("torch.optim:Muon", "Muon"),
}


class Parameterization(NamedTuple):
    """One way to parameterize and start a network: its label, and how a low-rank network of equation 10 starts.

    The target is the function that gives V(0) and U(0) of `models.starts.Given`; the full network and the one with
    adapters have none. Some need the full network's first gradient.
    """

    label: str
    target: str = ""
    needs_gradient: bool = False


_STARTS = "lowrank_dynamics.models.starts"
PARAMETERIZATIONS = {
    "full": Parameterization("full"),
    "s_big": Parameterization(r"low-rank, $S_{\mathrm{big}}$", f"{_STARTS}:s_big", True),
    "random": Parameterization("low-rank, random", f"{_STARTS}:random"),
    "gradient": Parameterization("gradient's top vectors", f"{_STARTS}:gradient", True),
    "principal_components": Parameterization("principal components", f"{_STARTS}:principal_components"),
    "s_big_right": Parameterization("$R_{1,1}$, random columns", f"{_STARTS}:s_big_right", True),
    "s_big_left": Parameterization("$W_1'L_{1,1}$, random columns", f"{_STARTS}:s_big_left", True),
    "s_big_inputs": Parameterization(r"$V$ of $S_{\mathrm{big}}$, random $U$", f"{_STARTS}:s_big_inputs", True),
    "s_big_outputs": Parameterization(r"$U$ of $S_{\mathrm{big}}$, random $V$", f"{_STARTS}:s_big_outputs", True),
    "propagated": Parameterization("random $V$, $U$ from it", f"{_STARTS}:propagated"),
    "adapters": Parameterization("low-rank adapters"),
}


class Observable(NamedTuple):
    """What one setting of `observe` measures: its class, and whether it needs the full network's hidden weights.

    The class is called with the setting and the start of a training.
    """

    target: str
    full_only: bool = True


_OBSERVABLES = "lowrank_dynamics.training.observables"
OBSERVABLES = {
    "loss": Observable(f"{_OBSERVABLES}.curves:LossAndAccuracy", full_only=False),
    "singular_structure": Observable(f"{_OBSERVABLES}.singular_structure:SingularStructure"),
    "block_shares": Observable(f"{_OBSERVABLES}.block_shares:BlockShares"),
    "gradient": Observable(f"{_OBSERVABLES}.gradient_spectrum:GradientSpectrum"),
    "start_eps": Observable(f"{_OBSERVABLES}.first_gradient:FirstGradient"),
    "change_rank": Observable(f"{_OBSERVABLES}.change_rank:ChangeRank"),
    "linearity": Observable(f"{_OBSERVABLES}.linearity:Linearity"),
    "constants": Observable(f"{_OBSERVABLES}.constants:Constants"),
}


class Images(NamedTuple):
    """One set of images, prepared by the module of its name in `data`, and before that downloaded if `fetched`.

    Its shape is channels, rows, columns.
    """

    shape: tuple[int, int, int]
    training_images: int
    fetched: bool


IMAGES = {
    "fashion_mnist": Images((1, 28, 28), 60_000, fetched=False),
    "cifar10": Images((3, 32, 32), 50_000, fetched=True),
}

POOL = 0
"""Stands for a 2 x 2 max-pooling among the numbers of channels."""


class Convolutions(NamedTuple):
    """3 x 3 convolutions, each followed by ReLU: the output channels of each, and where pooling comes between them.

    Weights that are not `pretrained`, and so downloaded, are random, the same at every call.
    """

    layers: tuple[int, ...]
    pretrained: bool

    @property
    def channels(self) -> int:
        """The number of output channels."""
        return next(layer for layer in reversed(self.layers) if layer != POOL)

    @property
    def names(self) -> list[str]:
        """The convolutions in order, by torchvision's names such as `features.0`.

        The number counts every convolution, every ReLU after one, and every pooling.
        """
        widths = [1 if layer == POOL else 2 for layer in self.layers]
        places = accumulate(widths[:-1], initial=0)
        return [f"features.{place}" for place, layer in zip(places, self.layers, strict=True) if layer != POOL]

    @property
    def halvings(self) -> int:
        """How often the side of an image is halved."""
        return self.layers.count(POOL)


CONVOLUTIONS = {
    "vgg16": Convolutions(
        (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL), pretrained=True
    ),
    "tiny": Convolutions((8, POOL, 24, POOL), pretrained=False),
}


class FigureSource(NamedTuple):
    """A figure: its part of the report, the experiments it shows, and the module in `figures` that draws it.

    The module's `draw` gets the metrics of each experiment, in this order, and the `options`. A figure that shows a
    `table` of the run gets that instead; its module has `COLUMNS`, and no run draws it by itself.
    """

    part: str
    experiments: tuple[str, ...]
    module: str
    options: Mapping[str, int] = {}
    table: str = ""


SUMMARY = "0. Summary"
CASE_STUDY = "1. Case study: six activations"
THEORY = "2. The setting of the theory"
BEYOND = "3. Beyond the theory: deeper networks, other optimizers"
LOW_RANK = "4. Low-rank networks on Fashion-MNIST"
HEADS = "5. Heads of VGG-16"
OURS = "6. Beyond the paper"
"""The parts of the report, in the order of the paper; reports sort them by name."""

FIGURES = {
    "overview": FigureSource(SUMMARY, ("case_study", "deep_whitened", "fashion_mnist"), "overview"),
    "figure_1": FigureSource(CASE_STUDY, ("case_study",), "singular_values"),
    "figure_2": FigureSource(CASE_STUDY, ("case_study",), "smooth_against_nonsmooth"),
    "figure_3": FigureSource(THEORY, ("theory_setting",), "block_shares"),
    "figure_4": FigureSource(BEYOND, ("deep_whitened",), "block_shares"),
    "figure_5": FigureSource(BEYOND, ("deep_unwhitened",), "block_shares"),
    "figure_6": FigureSource(LOW_RANK, ("fashion_mnist",), "learning_curves"),
    "figure_7": FigureSource(HEADS, ("vgg_full_model", "vgg_heads"), "heads"),
    "figure_8": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 1}),
    "figure_9": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 2}),
    "figure_10": FigureSource(CASE_STUDY, ("case_study",), "layer_movement", {"layer": 3}),
    "figure_11": FigureSource(THEORY, ("first_gradient",), "first_gradient"),
    "figure_12": FigureSource(THEORY, ("theory_setting",), "gradient_decay"),
    "figure_13": FigureSource(THEORY, ("theory_setting",), "gradient_tail"),
    "figure_14": FigureSource(LOW_RANK, ("rotated_factors",), "rotated_factors"),
    "figure_15": FigureSource(HEADS, ("vgg_heads",), "head_ranks"),
    "bound": FigureSource(THEORY, ("theory_over_eps",), "bound"),
    "verdicts": FigureSource(SUMMARY, (), "verdicts", table="claims.parquet"),
    "sensitivity": FigureSource(SUMMARY, (), "sensitivity", table="sensitivity.parquet"),
    "smoothness": FigureSource(OURS, ("smoothness",), "smoothness"),
    "rank_of_change": FigureSource(OURS, ("rank_of_change", "deep_rank_of_change"), "rank_of_change"),
    "share_of_block_1": FigureSource(OURS, ("share_and_size", "share_and_depth"), "share_of_block_1"),
    "near_linearity": FigureSource(OURS, ("near_linearity",), "near_linearity"),
    "constants": FigureSource(OURS, ("constants",), "constants"),
    "starts": FigureSource(OURS, ("starts",), "starts"),
    "starts_longer": FigureSource(OURS, ("starts",), "starts_longer"),
}
FORMATS = ("pdf", "svg", "png")


def figures_of(experiments: Iterable[str]) -> list[str]:
    """Return the names of the figures that a run of these experiments draws."""
    run = set(experiments)
    return [name for name, figure in FIGURES.items() if not figure.table and run.issuperset(figure.experiments)]


def title(name: str) -> str:
    """Return the heading of the figure called `name`."""
    return "Bound of theorem 3.5" if name == "bound" else name.replace("_", " ").capitalize()


def sortable(words: str) -> str:
    """Return words such as `Figure 6` so that, as text, they sort before `Figure 14`; a page shows no difference."""
    return re.sub(r" (?=\d\b)", "  ", words)
