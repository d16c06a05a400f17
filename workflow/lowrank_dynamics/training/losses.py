"""What training minimizes, one value per trial; its gradients; and the loss of the best linear
fit.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import MLP, StackedNetwork, in_evaluation


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1/2 ||f(X) - Y||_F^2 of each trial (trials,): the sum over samples, not their mean
    (section 2).

    `outputs`: (trials, K, N); `targets`: (K, N) or (trials, K, N).
    """
    return (outputs - targets).square().sum(dim=(-2, -1)) / 2


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of softmax(f(X)) with Y for each trial (trials,): the mean over
    samples.

    `outputs`: (trials, K, N); `targets`, one-hot: (K, N) or (trials, K, N).
    """
    losses = functional.cross_entropy(outputs, targets.expand_as(outputs), reduction="none")
    return losses.mean(dim=-1)


MEANS = ("cross_entropy",)
"""The objectives that are means over samples; the others are sums."""
OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
}


def linear_fit_loss(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return min_B 1/2 ||B X - Y||_F^2, the squared error of the best linear map: (trials,), or ()
    for unstacked data.

    Computed in float64 by an orthonormal basis of the row space of X: (..., d, N).
    """
    _, values, right_t = torch.linalg.svd(inputs.double(), full_matrices=False)
    largest = values.amax(dim=-1, keepdim=True)
    rounding = largest * inputs.shape[-1] * torch.finfo(values.dtype).eps
    present = values > rounding
    coefficients = (targets.double() @ right_t.mT) * present.unsqueeze(-2)
    whole = targets.double().square().sum(dim=(-2, -1))
    explained = coefficients.square().sum(dim=(-2, -1))
    return (whole - explained) / 2


class Pass(NamedTuple):
    """The results of some samples: outputs (trials, K, n), losses (trials,), and their gradients in
    some parameters.
    """

    outputs: Tensor
    losses: Tensor
    gradients: Sequence[Tensor]


@torch.enable_grad()
def forward_and_back(
    network: StackedNetwork,
    data: Split,
    objective: str,
    parameters: Sequence[Tensor],
    at_once: int | None,
) -> Pass:
    """Return the results of all samples of `data`; they pass through the network `at_once` at a
    time, or all if None.

    Losses and gradients are added up in the order of the samples, which gives the sum of the whole
    up to rounding, and activations are kept for that many samples only. `objective` is a name in
    `OBJECTIVES`.
    """
    count = data.inputs.shape[-1]
    if at_once is None or at_once >= count:
        return _pass(network, data, objective, parameters)
    # whole tensors, because many small ones would scatter the memory
    outputs = parameters[0].new_empty(network.trials, data.classes, count)
    losses = parameters[0].new_zeros(network.trials)
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for place, chunk in zip(outputs.split(at_once, dim=-1), data.chunks(at_once), strict=True):
        share = place.shape[-1] / count
        part = _pass(network, chunk, objective, parameters, share)
        place.copy_(part.outputs)
        losses += part.losses
        for total, gradient in zip(gradients, part.gradients, strict=True):
            total.add_(gradient)
    return Pass(outputs, losses, gradients)


def _pass(
    network: StackedNetwork,
    data: Split,
    objective: str,
    parameters: Sequence[Tensor],
    share: float = 1.0,
) -> Pass:
    """Return the results of samples taken together; `share` is their part of all, if a loss is a
    mean over those.
    """
    outputs = network(data.inputs)
    losses = OBJECTIVES[objective](outputs, data.targets)
    if objective in MEANS and share < 1:
        losses = share * losses
    gradients = torch.autograd.grad(losses.sum(), parameters)
    return Pass(outputs.detach(), losses.detach(), gradients)


def hidden_gradients(
    mlp: MLP, objective: str, data: Split, at_once: int | None = None
) -> list[Tensor]:
    """Return G_1 .. G_{L-1}: (trials, m, n), the gradients of the loss on `data` in the hidden
    weights, as `first_layer_gradient`.
    """
    return _at_mean_slopes(mlp, list(mlp.weights)[:-1], objective, data, at_once)


def first_layer_gradient(
    mlp: MLP, objective: str, data: Split, at_once: int | None = None
) -> Tensor:
    """Return G_1: (trials, m, d), the gradient of the loss on `data` in W_1; random slopes are at
    their mean.

    `objective` is a name in `OBJECTIVES`; samples go through the network `at_once` at a time.
    """
    (gradient,) = _at_mean_slopes(mlp, [mlp.weights[0]], objective, data, at_once)
    return gradient


def _at_mean_slopes(
    mlp: MLP, weights: Sequence[Tensor], objective: str, data: Split, at_once: int | None
) -> list[Tensor]:
    with in_evaluation(mlp):
        whole = forward_and_back(mlp, data, objective, weights, at_once)
    return list(whole.gradients)
