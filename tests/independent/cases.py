"""Random inputs, drawn by numpy, one trial after another; and the one comparison of results."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from independent.formulas import LowRank, Matrix, whitened
from lowrank_dynamics.models.networks import LowRankMLP

TRIALS = range(2)
EPS = 0.1


class Case(NamedTuple):
    """One trial of an MLP at its start, with its data."""

    weights: list[Matrix]
    inputs: Matrix
    targets: Matrix


class Shape(NamedTuple):
    """The widths d, m, .., m of an MLP, and K; and the number of samples."""

    widths: tuple[int, ...]
    classes: int
    samples: int = 40


THREE_LAYERS = Shape((12, 15, 15), 3)
FOUR_LAYERS = Shape((14, 14, 14, 14), 2)
SHAPES = [THREE_LAYERS, FOUR_LAYERS]


def orthonormal(generator: np.random.Generator, rows: int, columns: int) -> Matrix:
    """Draw a matrix with orthonormal columns, or rows if there are fewer of those."""
    if rows < columns:
        return orthonormal(generator, columns, rows).T
    basis, _ = np.linalg.qr(generator.standard_normal((rows, columns)))
    return basis


def drawn(shape: Shape, trial: int) -> Case:
    """Draw hidden weights of size EPS, a last one of size 1, and whitened clusters."""
    generator = np.random.default_rng(trial)
    weights = []
    for columns, rows in pairwise(shape.widths):
        weights.append(EPS * orthonormal(generator, rows, columns))
    weights.append(orthonormal(generator, shape.classes, shape.widths[-1]))
    labels = np.arange(shape.samples) % shape.classes
    centers = 2 * generator.standard_normal((shape.widths[0], shape.classes))
    noise = generator.standard_normal((shape.widths[0], shape.samples))
    targets = np.eye(shape.classes)[labels].T
    return Case(weights, whitened(centers[:, labels] + noise), targets)


def perturbed(matrices: Sequence[Matrix], size: float) -> list[Matrix]:
    """Return matrices with noise of a size relative to their norms."""
    generator = np.random.default_rng(1_000)
    noisy = []
    for matrix in matrices:
        noise = generator.standard_normal(matrix.shape)
        noisy.append(matrix + size * noise * np.linalg.norm(matrix) / np.linalg.norm(noise))
    return noisy


def drawn_low_rank(shape: Shape, rank: int, trial: int) -> LowRank:
    """Draw the matrices of a low-rank MLP, none of them of a special kind."""
    generator = np.random.default_rng(100 + trial)
    v = generator.standard_normal((shape.widths[0], rank)) / 2
    cores = []
    for _ in shape.widths[1:]:
        cores.append(generator.standard_normal((rank, rank)) / 2)
    u = generator.standard_normal((shape.widths[-1], rank)) / 2
    return LowRank(v, cores, u, generator.standard_normal((shape.classes, shape.widths[-1])))


def stack(matrices: Sequence[Matrix]) -> Tensor:
    """Return the matrices of all trials as the package takes them: (trials, ., .)."""
    return torch.from_numpy(np.stack(matrices))


def stacks(trials: Sequence[Sequence[Matrix]]) -> list[Tensor]:
    """Return each trial's list of matrices as one list of stacks."""
    stacked = []
    for matrices in zip(*trials, strict=True):
        stacked.append(stack(matrices))
    return stacked


def of_trial(tensors: Sequence[Tensor], trial: int) -> list[Matrix]:
    """Return one trial's matrices of stacked ones, copied."""
    matrices = []
    for tensor in tensors:
        matrices.append(tensor[trial].detach().numpy().copy())
    return matrices


def in_order(network: LowRankMLP) -> list[Tensor]:
    """Return the package's parameters in the order of equation 10."""
    return [network.input_factor, *network.cores, network.output_factor, network.last]


def assert_agree(package: Any, formula: Any, what: object = "") -> None:
    """Check that a number or array of the package is that of the formula, to 1e-9."""
    if isinstance(package, Tensor):
        package = package.detach().numpy()
    np.testing.assert_allclose(package, formula, rtol=1e-9, atol=1e-12, err_msg=str(what))


def assert_same_span(basis: Any, projector: Matrix) -> None:
    """Check that an orthonormal basis (n, k) of the package spans the range of a projector: the
    sine of the largest angle, ||B B' - P||_2, is at most 1e-9.
    """
    if isinstance(basis, Tensor):
        basis = basis.detach().numpy()
    assert basis.shape[1] == round(float(np.trace(projector)))
    assert np.linalg.norm(basis @ basis.T - projector, 2) < 1e-9
