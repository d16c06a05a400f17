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
ITERATIONS = 30
"""Of the power method: the curvature is found to some per mille, and from below."""


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
    """The Hessian in W_1 of 1/2 ||W_2 phi(W_1 X) - Y||_F^2, at one W_1, as a linear map."""

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

    def applied(self, direction: Tensor) -> Tensor:
        """Return the Hessian's image (trials, m, d) of a direction of the same shape."""
        change = direction @ self.inputs
        output_change = self.last @ (self.first_derivative * change)
        through_outputs = self.last.mT @ output_change * self.first_derivative
        through_slopes = self.weighted * change
        return (through_outputs + through_slopes) @ self.inputs.mT

    def largest(self, direction: Tensor) -> Tensor:
        """Return its largest absolute eigenvalue (trials,), by the power method from a direction
        (trials, m, d).
        """
        direction = direction / torch.linalg.matrix_norm(direction)[:, None, None]
        for _ in range(ITERATIONS):
            image = self.applied(direction)
            size = torch.linalg.matrix_norm(image)
            direction = image / size[:, None, None]
        return size


def curvature_bound(last: Tensor, residual: Tensor, b: float, mu: float) -> Tensor:
    """Return gamma = b^2 sigma_1(W_2)^2 + mu M ||W_2||_1: (trials,), for whitened data; M is the
    largest |Delta_2|.
    """
    through_outputs = b**2 * torch.linalg.matrix_norm(last, 2) ** 2
    through_slopes = mu * _largest_pull(last, residual)
    return through_outputs + through_slopes


def first_tail_bound(
    last: Tensor, residual: Tensor, mu: float, dimension: int, eps: float
) -> Tensor:
    """Return C_1 eps = mu M sqrt(d) ||W_2||_1 eps: (trials,), which bounds sigma_{K+1}(G_1(0)) on
    whitened data.
    """
    return mu * dimension**0.5 * eps * _largest_pull(last, residual)


def _largest_pull(last: Tensor, residual: Tensor) -> Tensor:
    """Return M ||W_2||_1: (trials,), which bounds the entries of W_2' Delta_2; ||.||_1 is the
    largest column sum.
    """
    largest_residual = residual.abs().amax(dim=(-2, -1))
    largest_column_sum = last.abs().sum(dim=-2).amax(dim=-1)
    return largest_residual * largest_column_sum
