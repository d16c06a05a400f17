"""How a two-layer network differs from a linear one: phi' and phi'', the linear network, the
curvature of the loss.

`phi` is an activation module that takes stacked trials; every function keeps the dtype of its
tensors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

POINTS = 20_000
"""On each side of zero, where derivatives are looked at: a multiple of the 32 entries that fill any
CPU's vectors.
"""


@torch.enable_grad()
def derivatives(phi: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return phi'(z) and phi''(z) entry by entry; where phi' has a jump, phi'' is that of one
    side.
    """
    z = z.detach().clone().requires_grad_()
    values = phi(z.clone())  # it may work in place
    (first,) = torch.autograd.grad(values.sum(), z, create_graph=True)
    if not first.requires_grad:  # phi is linear
        return first, torch.zeros_like(first)
    (second,) = torch.autograd.grad(first.sum(), z)
    return first.detach(), second


def slope_at_zero(phi: nn.Module) -> float:
    """Return phi'(0)."""
    first, _ = derivatives(phi, torch.zeros(1, 32, dtype=torch.float64))
    return float(first[0, 0])


def derivative_bounds(phi: nn.Module) -> tuple[float, float]:
    """Return b and mu, the largest |phi'| and |phi''|, over a grid equally fine at each scale from
    1e-9 to 1e3.
    """
    half = torch.logspace(-9, 3, POINTS, dtype=torch.float64)
    zeros = torch.zeros(32, dtype=torch.float64)
    grid = torch.cat([-half, zeros, half])
    first, second = derivatives(phi, grid.unsqueeze(0))
    return float(first.abs().max()), float(second.abs().max())


def linear_network(
    weights: Sequence[Tensor], slope: float, inputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the outputs phi'(0) W_2 W_1 X: (trials, K, N), and the gradient of their squared error
    in W_1.

    `weights` are W_1: (trials, m, d) and W_2: (trials, K, m); `slope` is phi'(0).
    """
    first, last = weights
    outputs = slope * last @ (first @ inputs)
    gradient = slope * last.mT @ (outputs - targets) @ inputs.mT
    return outputs, gradient


class Curvature(NamedTuple):
    """The Hessian in W_1 of 1/2 ||W_2 phi(W_1 X) - Y||_F^2, at one W_1."""

    inputs: Tensor  # X: (trials, d, N)
    last: Tensor  # W_2: (trials, K, m)
    first_derivative: Tensor  # phi'(W_1 X): (trials, m, N)
    weighted: Tensor  # W_2' Delta_2 * phi''(W_1 X): (trials, m, N)

    @classmethod
    def at(
        cls, weights: Sequence[Tensor], phi: nn.Module, inputs: Tensor, residual: Tensor
    ) -> "Curvature":
        """Return the Hessian at the given weights, where the residual Delta_2 is (trials, K, N)."""
        first, last = weights
        slope, bend = derivatives(phi, first @ inputs)
        return cls(inputs, last, slope, last.mT @ residual * bend)

    def hessian(self, trial: int) -> Tensor:
        """Return the Hessian (m d, m d) of one trial, in the order of its `W_1.flatten()`.

        At the entries (i, a) and (j, b) of W_1 it is (W_2' W_2)_ij sum_n phi'_in X_an phi'_jn X_bn
        and, if i = j, sum_n (W_2' Delta_2)_in phi''_in X_an X_bn more.
        """
        inputs, last = self.inputs[trial], self.last[trial]
        gram = last.mT @ last
        m, d = len(gram), len(inputs)
        rows = self.first_derivative[trial].unsqueeze(1) * inputs
        flat = rows.reshape(m * d, -1)
        through_outputs = (flat @ flat.mT).view(m, d, m, d)
        hessian = through_outputs * gram[:, None, :, None]
        weighted = self.weighted[trial].unsqueeze(1) * inputs
        through_slopes = weighted @ inputs.mT
        hessian.diagonal(dim1=0, dim2=2).add_(through_slopes.permute(1, 2, 0))
        return hessian.view(m * d, m * d)

    def largest(self) -> Tensor:
        """Return the largest absolute eigenvalue (trials,) of the Hessian."""
        largest = []
        for trial in range(len(self.last)):  # one Hessian at a time, to limit memory
            eigenvalues = torch.linalg.eigvalsh(self.hessian(trial))
            largest.append(eigenvalues.abs().max())
        return torch.stack(largest)


def curvature_bound(last: Tensor, residual: Tensor, b: float, mu: float) -> Tensor:
    """Return the local gamma = b^2 sigma_1(W_2)^2 + mu M ||W_2||_1: (trials,), for whitened data; M
    is the largest |Delta_2| of the `residual` Delta_2: (trials, K, N).

    It bounds the curvature at the weights that have this residual.
    """
    largest_residual = residual.abs().amax(dim=(-2, -1))
    return _gamma(last, largest_residual, b, mu)


def sublevel_curvature_bound(last: Tensor, residual: Tensor, b: float, mu: float) -> Tensor:
    """Return gamma with M = ||Delta_2||_F: (trials,).

    It bounds the curvature wherever the loss is at most that of the `residual`, because there
    ||Delta_2||_F, and hence every |Delta_2|, is at most M.
    """
    return _gamma(last, torch.linalg.matrix_norm(residual), b, mu)


def _gamma(last: Tensor, most: Tensor, b: float, mu: float) -> Tensor:
    """Return b^2 sigma_1(W_2)^2 + mu M ||W_2||_1: (trials,), where `most` is M."""
    through_outputs = b**2 * torch.linalg.matrix_norm(last, 2) ** 2
    through_slopes = mu * (most * _largest_column_sum(last))
    return through_outputs + through_slopes


def first_tail_bound(
    last: Tensor, residual: Tensor, mu: float, dimension: int, eps: float
) -> Tensor:
    """Return C_1 eps = mu M sqrt(d) ||W_2||_1 eps: (trials,), which bounds sigma_{K+1}(G_1(0)) on
    whitened data.
    """
    largest_residual = residual.abs().amax(dim=(-2, -1))
    largest_pull = largest_residual * _largest_column_sum(last)  # bounds |W_2' Delta_2|
    return mu * dimension**0.5 * eps * largest_pull


def _largest_column_sum(last: Tensor) -> Tensor:
    """Return ||W_2||_1: (trials,), the largest column sum of |W_2|."""
    return last.abs().sum(dim=-2).amax(dim=-1)
