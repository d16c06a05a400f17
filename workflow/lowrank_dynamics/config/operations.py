"""The matrices of each network, and the operations of a step of gradient descent; no torch."""

import pkgutil

from lowrank_dynamics.config.blocks import Shared
from lowrank_dynamics.config.networks import Matrix
from lowrank_dynamics.config.registries import PARAMETERIZATIONS


def matrices(settings: Shared, parameterization: str) -> list[Matrix]:
    """Return the matrices of a network, in the order of the forward pass."""
    listed_by = PARAMETERIZATIONS[parameterization].matrices
    return pkgutil.resolve_name(listed_by)(settings)


def step_operations(settings: Shared, parameterization: str) -> int:
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


def start_operations(settings: Shared, parameterization: str) -> int:
    """Return the operations before the first step: those of the full network's first gradient, if
    needed.
    """
    if not PARAMETERIZATIONS[parameterization].needs_gradient:
        return 0
    return step_operations(settings, "full")
