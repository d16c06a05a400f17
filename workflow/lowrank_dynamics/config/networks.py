"""The matrices of each kind of network: one description, by which networks are built and their cost
and operations are computed; no torch.
"""

import pkgutil
from typing import TYPE_CHECKING, NamedTuple

from lowrank_dynamics.config.registries import CONVOLUTIONS, IMAGES, PARAMETERIZATIONS, POOL

if TYPE_CHECKING:
    from lowrank_dynamics.config.blocks import Shared
    from lowrank_dynamics.config.data import ConvolvedData


BLOCK_FACTOR = 4
"""How many times as wide as a transformer block its MLP is inside."""


class Matrix(NamedTuple):
    """One matrix of a network: its shape, whether it is trained, and whether it takes the inputs.

    It applies to several `places` of a sample if it is a convolution's or a transformer's.
    """

    rows: int
    columns: int
    trained: bool = True
    takes_inputs: bool = False
    places: int = 1

    @property
    def size(self) -> int:
        """The number of weights, and of multiplications per sample and place."""
        return self.rows * self.columns


def mlp(settings: "Shared") -> list[Matrix]:
    """Return W_1 .. W_L of the full MLP (section 2)."""
    network, data = settings.network, settings.data
    first = Matrix(network.width, data.dimension, takes_inputs=True)
    inner = [Matrix(network.width, network.width)] * (network.depth - 2)
    last = Matrix(data.classes, network.width, trained=network.train_last_layer)
    return [first, *inner, last]


def transformer_block(settings: "Shared") -> list[Matrix]:
    """Return the matrices of a transformer block: the embedding of a row of pixels and its place,
    queries, keys, values and outputs of the attention, then W_1, W_2 and the readout W_3.
    """
    network, data = settings.network, settings.data
    _, tokens, pixels = IMAGES[data.source].shape
    width, inner = network.width, BLOCK_FACTOR * network.width
    embedding = Matrix(width, pixels + tokens, takes_inputs=True, places=tokens)
    attention = [Matrix(width, width, places=tokens)] * 4
    first = Matrix(inner, width, places=tokens)
    second = Matrix(width, inner, places=tokens)
    last = Matrix(data.classes, width)
    return [embedding, *attention, first, second, last]


def full(settings: "Shared") -> list[Matrix]:
    """Return the matrices of the full network."""
    if settings.network.architecture == "transformer_block":
        return transformer_block(settings)
    return mlp(settings)


def low_rank_mlp(settings: "Shared") -> list[Matrix]:
    """Return V', W~_1 .. W~_{L-1}, U and W_L of the low-rank MLP (equation 10)."""
    *hidden, last = mlp(settings)
    rank = _rank(settings)
    input_factor = Matrix(rank, hidden[0].columns, takes_inputs=True)
    cores = [Matrix(rank, rank)] * len(hidden)
    output_factor = Matrix(hidden[-1].rows, rank)
    return [input_factor, *cores, output_factor, last]


def adapted_mlp(settings: "Shared") -> list[Matrix]:
    """Return the frozen W_1 .. W_{L-1}, then A_1 .. A_{L-1}, B_1 .. B_{L-1} and W_L of an MLP with
    adapters W_l + B_l A_l.
    """
    *hidden, last = mlp(settings)
    rank = _rank(settings)
    frozen, downward, upward = [], [], []
    for weight in hidden:
        frozen.append(weight._replace(trained=False))
        downward.append(Matrix(rank, weight.columns, takes_inputs=weight.takes_inputs))
        upward.append(Matrix(weight.rows, rank))
    return [*frozen, *downward, *upward, last]


def factorized_mlp(settings: "Shared") -> list[Matrix]:
    """Return A_1 .. A_{L-1}, B_1 .. B_{L-1} and W_L of an MLP whose hidden weights are B_l A_l."""
    frozen = settings.network.depth - 1
    return adapted_mlp(settings)[frozen:]


def convolutions(data: "ConvolvedData") -> list[Matrix]:
    """Return the matrices of the convolutions, which apply to 3 x 3 pixels of all channels."""
    layers = []
    side, channels = data.size, 3
    for outputs in CONVOLUTIONS[data.convolutions].layers:
        if outputs == POOL:
            side //= 2
        else:
            layers.append(Matrix(outputs, 9 * channels, places=side**2))
            channels = outputs
    return layers


def matrices(settings: "Shared", parameterization: str) -> list[Matrix]:
    """Return the matrices of a network."""
    listed_by = PARAMETERIZATIONS[parameterization].matrices
    return pkgutil.resolve_name(listed_by)(settings)


def step_operations(settings: "Shared", parameterization: str) -> int:
    """Return the operations of the products with a network's matrices in one step of gradient
    descent on all samples.

    A matrix has a product in the forward pass, one for its gradient if trained, and one for its
    argument's gradient unless it takes the inputs; each at all places of a sample.
    """
    products = 0
    for matrix in matrices(settings, parameterization):
        passes = 1 + matrix.trained + (not matrix.takes_inputs)
        products += matrix.places * matrix.size * passes
    return 2 * products * settings.data.training_samples


def start_operations(settings: "Shared", parameterization: str) -> int:
    """Return the operations before the first step: those of the full network's first gradient, if
    needed.
    """
    if not PARAMETERIZATIONS[parameterization].needs_gradient:
        return 0
    return step_operations(settings, "full")


def _rank(settings: "Shared") -> int:
    rank = settings.network.rank
    assert rank is not None, "the settings require it"
    return rank
