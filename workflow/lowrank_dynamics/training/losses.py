"""What training minimizes, one value a trial; its first gradient; and the loss of the best linear fit."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import MLP


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1/2 ||f(X) - Y||_F^2 of each trial (trials,): the sum over samples, not their mean (section 2).

    `outputs`: (trials, K, N); `targets`: (K, N) or (trials, K, N).
    """
    return (outputs - targets).square().sum(dim=(-2, -1)) / 2


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of softmax(f(X)) with Y for each trial (trials,): the mean over samples.

    `outputs`: (trials, K, N); `targets`, one-hot: (K, N) or (trials, K, N).
    """
    losses = functional.cross_entropy(outputs, targets.expand_as(outputs), reduction="none")
    return losses.mean(dim=-1)


OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
}


def linear_fit_loss(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return min_B 1/2 ||B X - Y||_F^2, the squared error of the best linear map: (trials,), or () for unstacked data.

    Computed in float64 by an orthonormal basis of the row space of X: (..., d, N).
    """
    _, values, right_t = torch.linalg.svd(inputs.double(), full_matrices=False)
    present = values > values.amax(dim=-1, keepdim=True) * inputs.shape[-1] * torch.finfo(inputs.dtype).eps
    explained = (targets.double() @ right_t.mT) * present.unsqueeze(-2)
    return (targets.double().square().sum(dim=(-2, -1)) - explained.square().sum(dim=(-2, -1))) / 2


@torch.enable_grad()
def first_gradient(mlp: MLP, objective: str, data: Split) -> Tensor:
    """Return G_1(0): (trials, m, d), the gradient of the loss on `data` in W_1; random slopes are at their mean.

    `objective` is a name in `OBJECTIVES`.
    """
    mlp.eval()
    losses = OBJECTIVES[objective](mlp(data.inputs), data.targets)
    (gradient,) = torch.autograd.grad(losses.sum(), mlp.weights[0])
    mlp.train()
    return gradient
