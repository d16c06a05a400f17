"""The tables of names that settings may use: activations, optimizers, observables, images,
convolutions.

Code is named as `package:attribute`, so that settings are checked and the graph of jobs is built
without torch or a plotting library.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple


class Activation(NamedTuple):
    """One activation phi with phi(0) = 0.

    `smooth`: phi has bounded first and second derivatives (section 3). The class of a `random`
    activation takes the generators of the stacked trials, others take the `options`. The name of
    one with a `parameter` includes its value, such as `swish_1.702`; the value is also an option
    and replaces the label's braces.
    """

    target: str
    label: str
    smooth: bool
    random: bool = False
    options: Mapping[str, Any] = {}
    parameter: str = ""


IN_PLACE = {"inplace": True}
"""For activations whose output determines their derivative: overwriting the input saves memory and
time.
"""

ACTIVATIONS = {
    "elu": Activation("torch.nn:ELU", "ELU", smooth=True, options=IN_PLACE),
    "gelu": Activation("torch.nn:GELU", "GELU", smooth=True),
    "silu": Activation("torch.nn:SiLU", "SiLU", smooth=True),
    "tanh": Activation("torch.nn:Tanh", "tanh", smooth=True),
    "relu": Activation("torch.nn:ReLU", "ReLU", smooth=False, options=IN_PLACE),
    "leaky_relu": Activation("torch.nn:LeakyReLU", "Leaky-ReLU", smooth=False, options=IN_PLACE),
    "rrelu": Activation(
        "lowrank_dynamics.models.networks:RReLU", "RReLU", smooth=False, random=True
    ),
    "identity": Activation("torch.nn:Identity", "identity", smooth=True),
    "swish": Activation(
        "lowrank_dynamics.models.networks:Swish", r"$\beta = {}$", smooth=True, parameter="beta"
    ),
}


def activation(name: str) -> Activation:
    """Return the activation that a setting names, such as `elu` or `swish_1.702`. Raises ValueError
    for others.
    """
    parsed = _parsed(name)
    if parsed is None:
        known = []
        for other, entry in ACTIVATIONS.items():
            known.append(f"{other}_<{entry.parameter}>" if entry.parameter else other)
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    entry = ACTIVATIONS[parsed.entry]
    if not entry.parameter:
        return entry
    label = entry.label.format(f"{parsed.value:g}")
    return entry._replace(label=label, options={entry.parameter: parsed.value})


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names that are activations, in the order of `ACTIVATIONS` and of their
    parameters.
    """
    entries = list(ACTIVATIONS)
    places = {}
    for name in names:
        parsed = _parsed(name)
        if parsed is not None:
            places[name] = (entries.index(parsed.entry), parsed.value)
    return sorted(places, key=lambda name: places[name])


class _Parsed(NamedTuple):
    entry: str
    value: float


def _parsed(name: str) -> _Parsed | None:
    """Return a name's entry and the value of its parameter, 0 if it has none; None for other
    names.
    """
    if name in ACTIVATIONS and not ACTIVATIONS[name].parameter:
        return _Parsed(name, 0.0)
    entry, _, text = name.rpartition("_")
    is_number = re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) is not None and float(text) > 0
    if is_number and entry in ACTIVATIONS and ACTIVATIONS[entry].parameter:
        return _Parsed(entry, float(text))
    return None


class Optimizer(NamedTuple):
    """One optimizer: its class, its label in figures, and its options besides learning rate and
    weight decay.

    `products` is the number of matrix products in the update of one matrix; only the expected time
    depends on it.
    """

    target: str
    label: str
    options: Mapping[str, Any] = {}
    products: int = 0


OPTIMIZERS = {
    "gradient_descent": Optimizer(
        "lowrank_dynamics.training.optimizer:GradientDescent", "gradient descent"
    ),
    "sgd_momentum": Optimizer(
        "torch.optim:SGD", "SGD with momentum", {"momentum": 0.9, "fused": True}
    ),
    "adam": Optimizer("torch.optim:Adam", "Adam"),
    # Three products in each of five steps of Newton and Schulz.
    "muon": Optimizer("torch.optim:Muon", "Muon", products=15),
}


class Parameterization(NamedTuple):
    """One way to parameterize and initialize a network: its label, and the functions that build it
    and list its matrices.

    `target` builds the network from `models.parameterizations.Ingredients`. A `low_rank` one has
    factors of a rank r in place of the full network's hidden weights. Some need the full network's
    first gradient.
    """

    label: str
    target: str
    matrices: str = "lowrank_dynamics.config.networks:low_rank_mlp"
    low_rank: bool = True
    needs_gradient: bool = False


_BUILT_BY = "lowrank_dynamics.models.parameterizations"
PARAMETERIZATIONS = {
    "full": Parameterization(
        "full", f"{_BUILT_BY}:full", "lowrank_dynamics.config.networks:full", low_rank=False
    ),
    "s_big": Parameterization(
        r"low-rank, $S_{\mathrm{big}}$", f"{_BUILT_BY}:s_big", needs_gradient=True
    ),
    "random": Parameterization("low-rank, random", f"{_BUILT_BY}:random"),
    "gradient": Parameterization(
        "gradient's top vectors", f"{_BUILT_BY}:gradient", needs_gradient=True
    ),
    "principal_components": Parameterization(
        "principal components", f"{_BUILT_BY}:principal_components"
    ),
    "s_big_right": Parameterization(
        "$R_{1,1}$, random columns", f"{_BUILT_BY}:s_big_right", needs_gradient=True
    ),
    "s_big_left": Parameterization(
        "$W_1'L_{1,1}$, random columns", f"{_BUILT_BY}:s_big_left", needs_gradient=True
    ),
    "s_big_inputs": Parameterization(
        r"$V$ of $S_{\mathrm{big}}$, random $U$", f"{_BUILT_BY}:s_big_inputs", needs_gradient=True
    ),
    "s_big_outputs": Parameterization(
        r"$U$ of $S_{\mathrm{big}}$, random $V$", f"{_BUILT_BY}:s_big_outputs", needs_gradient=True
    ),
    "propagated": Parameterization("random $V$, $U$ from it", f"{_BUILT_BY}:propagated"),
    "adapters": Parameterization(
        "low-rank adapters",
        f"{_BUILT_BY}:adapters",
        "lowrank_dynamics.config.networks:adapted_mlp",
    ),
    "adapters_from_gradient": Parameterization(
        "adapters from the gradient",
        f"{_BUILT_BY}:adapters_from_gradient",
        "lowrank_dynamics.config.networks:adapted_mlp",
        needs_gradient=True,
    ),
    "adapters_of_one_step": Parameterization(
        "adapters of one step",
        f"{_BUILT_BY}:adapters_of_one_step",
        "lowrank_dynamics.config.networks:adapted_mlp",
        needs_gradient=True,
    ),
    "spectral": Parameterization(
        "spectral", f"{_BUILT_BY}:spectral", "lowrank_dynamics.config.networks:factorized_mlp"
    ),
}


SIDES = ("left", "right")
GROUPS = ("top", "middle", "bottom")
"""The singular subspaces of a weight: a group of singular vectors on either side."""
_MOVEMENTS = ["_".join(names) for names in product(("angle", "sine"), SIDES, GROUPS)]


class Observable(NamedTuple):
    """What one setting of `observe` measures: its class, the names of its quantities in the
    metrics, and what the class is called with besides the setting.

    `given` names attributes of `training.build.Setup`, which are arguments of the same names.
    Observables of hidden weights are measured only where the full network's are trained.
    """

    target: str
    quantities: tuple[str, ...]
    given: tuple[str, ...] = ()
    of_hidden_weights: bool = True


_OBSERVABLES = "lowrank_dynamics.training.observables"
OBSERVABLES = {
    "loss": Observable(
        f"{_OBSERVABLES}.curves:LossAndAccuracy",
        ("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        ("data", "objective", "samples_at_once"),
        of_hidden_weights=False,
    ),
    "singular_structure": Observable(
        f"{_OBSERVABLES}.singular_structure:SingularStructure",
        ("singular_value", "subspace_gap", *_MOVEMENTS),
        ("subspace_reference",),
    ),
    "block_shares": Observable(
        f"{_OBSERVABLES}.block_shares:BlockShares", ("block_share",), ("initial_weights", "bases")
    ),
    "block_magnitudes": Observable(
        f"{_OBSERVABLES}.block_magnitudes:BlockMagnitudes",
        ("block_magnitude",),
        ("initial_weights", "bases"),
    ),
    "gradient": Observable(
        f"{_OBSERVABLES}.gradient_spectrum:GradientSpectrum",
        (
            "gradient_norm",
            "gradient_singular_value",
            "signal_singular_value",
            "gradient_rotation",
            "update_bound",
            "block_update",
            "largest_residual",
        ),
        ("initial_gradient", "bases"),
    ),
    "start_eps": Observable(
        f"{_OBSERVABLES}.gradient_over_eps:GradientOverEps",
        ("gradient_tail", "derivative_spread"),
        ("data", "objective", "eps"),
    ),
    "change_rank": Observable(
        f"{_OBSERVABLES}.change_rank:ChangeRank", ("change_rank",), ("initial_weights",)
    ),
    "linearity": Observable(
        f"{_OBSERVABLES}.linearity:Linearity",
        ("output_distance", "gradient_distance", "absolute_gradient_distance"),
        ("initial_gradient", "activation"),
    ),
    "constants": Observable(
        f"{_OBSERVABLES}.constants:Constants",
        (
            "curvature",
            "curvature_bound",
            "first_tail",
            "first_tail_bound",
            "sublevel_curvature_bound",
            "step_times_bound",
        ),
        ("activation", "eps"),
    ),
    "loss_gradient": Observable(
        f"{_OBSERVABLES}.loss_gradient:LossGradient",
        ("loss_gradient_norm",),
        ("data", "objective", "samples_at_once"),
        of_hidden_weights=False,
    ),
}

QUANTITIES = ["last_step"]
"""What the metrics hold: the step at which each trial ended, and what observables measure."""
for _observable in OBSERVABLES.values():
    QUANTITIES += _observable.quantities


class Images(NamedTuple):
    """One set of images, downloaded if `fetched` and prepared by the module of its name in `data`.

    Its shape is channels, rows, columns; of the training and the test images at most so many can be
    taken, equally many of each class.
    """

    shape: tuple[int, int, int]
    training_images: int
    test_images: int
    fetched: bool


IMAGES = {
    "fashion_mnist": Images((1, 28, 28), 60_000, 10_000, fetched=False),
    "digits": Images((1, 8, 8), 1_400, 330, fetched=False),
    "cifar10": Images((3, 32, 32), 50_000, 10_000, fetched=True),
}


def plain(label: str) -> str:
    """Return a label without LaTeX, such as `low-rank, S_big`."""
    upright = re.sub(r"\\mathrm\{(\w+)\}", r"\1", label)
    return re.sub(r"[${}\\]", "", upright)


def labels() -> list[str]:
    """Return the label of every entry; no number depends on them, but any figure may."""
    registries: tuple[Mapping[str, Any], ...] = (ACTIVATIONS, OPTIMIZERS, PARAMETERIZATIONS)
    labels = []
    for registry in registries:
        labels += [f"{name}: {entry.label}" for name, entry in registry.items()]
    return labels


DESCRIPTIVE = {"label", "products"}
"""The fields of entries that no number depends on."""

POOL = 0
"""Marks a 2 x 2 max-pooling among the channel counts."""


class Convolutions(NamedTuple):
    """3 x 3 convolutions, each followed by ReLU: the output channels of each, and where pooling
    comes between them.

    Weights are downloaded if `pretrained`, else random but the same at every call.
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
        names = []
        place = 0
        for layer in self.layers:
            if layer == POOL:
                place += 1
            else:
                names.append(f"features.{place}")
                place += 2
        return names

    @property
    def smallest(self) -> int:
        """The smallest image side in pixels: each pooling halves it."""
        return 2 ** self.layers.count(POOL)


_VGG16 = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL) + 2 * (512, 512, 512, POOL)
CONVOLUTIONS = {
    "vgg16": Convolutions(_VGG16, pretrained=True),
    "tiny": Convolutions((8, POOL, 24, POOL), pretrained=False),
}
