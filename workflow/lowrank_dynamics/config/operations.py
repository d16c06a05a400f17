"""The matrices of each network, and the operations of a step of gradient descent; no torch."""

from typing import NamedTuple

from lowrank_dynamics.config.cell import Shared
from lowrank_dynamics.config.registries import PARAMETERIZATIONS


class Matrix(NamedTuple):
    """One matrix of a network: its shape, whether it is trained, and whether it takes the
    inputs.
    """

    rows: int
    columns: int
    trained: bool = True
    takes_inputs: bool = False

    @property
    def size(self) -> int:
        """The number of weights, and of multiplications per sample."""
        return self.rows * self.columns


def matrices(settings: Shared, parameterization: str) -> list[Matrix]:
    """Return the matrices of a network, in the order of the forward pass."""
    network, d, classes = settings.network, settings.data.dimension, settings.data.classes
    m, layers, rank = network.width, network.depth - 1, network.rank
    frozen = parameterization == "adapters"
    widths = [d] + [m] * (layers - 1)
    full = [
        Matrix(m, width, trained=not frozen, takes_inputs=not place)
        for place, width in enumerate(widths)
    ]
    last = Matrix(classes, m, trained=network.train_last_layer)
    if parameterization == "full":
        return [*full, last]
    assert rank is not None, "the settings require it"
    if frozen:
        down = [Matrix(rank, width, takes_inputs=not place) for place, width in enumerate(widths)]
        return [*full, *down, *[Matrix(m, rank)] * layers, last]
    return [
        Matrix(rank, d, takes_inputs=True),
        *[Matrix(rank, rank)] * layers,
        Matrix(m, rank),
        last,
    ]


def step_operations(settings: Shared, parameterization: str) -> int:
    """Return the operations of the matrix products in one step of gradient descent on all samples.

    A matrix has a product in the forward pass, one for its gradient if trained, and one for its
    argument's gradient unless it takes the inputs.
    """
    each = matrices(settings, parameterization)
    products = sum(
        matrix.size * (1 + matrix.trained + (not matrix.takes_inputs)) for matrix in each
    )
    return 2 * products * settings.data.training_samples


def start_operations(settings: Shared, parameterization: str) -> int:
    """Return the operations before the first step: those of the full network's first gradient, if
    needed.
    """
    return (
        step_operations(settings, "full")
        if PARAMETERIZATIONS[parameterization].needs_gradient
        else 0
    )
