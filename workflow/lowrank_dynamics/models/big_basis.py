"""S_big of your own MLP, from its first layer's weight and the gradient of one loss."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.chain import Chain
from lowrank_dynamics.models.no_trace import leaving_no_trace
from lowrank_dynamics.models.subspaces import big_subspace

Loss = Callable[[], Tensor]
"""Computes the loss, a scalar, of the model that an MLP is part of, on one batch."""
BALANCED = 1e-3
"""The sum of a sample's gradient in the outputs, relative to that of its absolute values, up to
which it counts as zero, as a cross-entropy's is.
"""


def big_basis(chain: Chain, loss: Loss) -> Tensor:
    """Return an orthonormal basis (d, 2K) of S_big, float64, from the weights as they are and one
    gradient.

    For eps it takes the root mean square of the first layer's singular values, which is eps if that
    is eps times a matrix with orthonormal columns or rows; S_big is the same for any. Raises
    UserError where S_big is not defined: K >= d/2, a weight that is zero or not finite, a gradient
    of rank below K.
    """
    require_few_outputs(chain)
    require_nonzero_weight(chain)
    weight = chain.layers[0].weight.detach()
    norm = float(torch.linalg.vector_norm(weight, dtype=torch.float64))
    eps = norm / min(weight.shape) ** 0.5
    return big_subspace(weight.double(), loss_gradient(chain, loss), chain.classes, eps)


def require_few_outputs(chain: Chain) -> None:
    """Raise UserError unless K < d/2."""
    d, classes = chain.dimension, chain.classes
    if 2 * classes >= d:
        raise UserError(
            f"the theory needs K < d/2, and this MLP has K = {classes} outputs and d = {d} inputs"
        )


def require_nonzero_weight(chain: Chain) -> None:
    """Raise UserError for a first layer that is zero or not finite."""
    weight = chain.layers[0].weight.detach()
    if not bool(weight.isfinite().all()) or not bool(weight.any()):
        raise UserError("the first layer's weight is zero or not finite: S_big is not defined")


@torch.enable_grad()
def loss_gradient(chain: Chain, loss: Loss) -> Tensor:
    """Return G_1: (m, d), the gradient of the loss in the first layer's weight.

    The one call of the loss leaves the random state and the buffers of modules, such as running
    means, as they were. Raises UserError for an invalid loss, one that leaves out an output, and a
    gradient that is zero or not finite. Warns if the batch seems to have no sample of some class.
    """
    weight = chain.layers[0].weight
    if not callable(loss):
        raise UserError(
            "the loss must be a function that computes it, such as lambda: criterion(model(x), y)"
        )
    if not weight.requires_grad:
        raise UserError(
            "the first layer is frozen: its weight must require a gradient, which defines S_big"
        )
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)

    hook = chain.layers[-1].register_forward_hook(keep)
    try:
        with leaving_no_trace(weight.device):
            value = _checked(loss())
            gradients = torch.autograd.grad(value, [weight, *outputs], allow_unused=True)
    finally:
        hook.remove()
    gradient, *of_outputs = gradients
    if gradient is None or not bool(gradient.isfinite().all()) or not bool(gradient.any()):
        raise UserError(
            "the loss has no finite gradient in the first layer, or one that is zero: S_big is not"
            " defined"
        )
    used = [pulls.flatten(end_dim=-2) for pulls in of_outputs if pulls is not None]
    if not used:
        raise UserError(
            "the loss does not pass through the last layer; compute it from the model's output"
        )
    _look_for_each_class(torch.cat(used))
    return gradient


def _checked(value: object) -> Tensor:
    """Return a loss. Raises UserError unless it is a tensor with one value and a gradient."""
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise UserError(f"the loss must be a tensor with one value; got a {kind}")
    if value.numel() != 1:
        shape = tuple(value.shape)
        raise UserError(f"the loss must be a tensor with one value; got one of shape {shape}")
    if not value.requires_grad:
        raise UserError(
            "the loss has no gradient: recompute it from the model, not under no_grad or"
            " inference_mode"
        )
    return value


def _look_for_each_class(pulls: Tensor) -> None:
    """Require that the loss depends on every output; `pulls` (n, K) is its gradient in the outputs.

    That of a cross-entropy sums to zero in each sample, and is negative only at its class.
    """
    unused = _numbers(~pulls.any(dim=0))
    if unused:
        raise UserError(
            f"the loss does not depend on {unused}, so S_big would lack directions; take a batch"
            " with samples of every class, and a loss that uses every output"
        )
    sums = pulls.sum(dim=1).abs()
    is_cross_entropy = bool((sums < BALANCED * pulls.abs().sum(dim=1)).all())
    absent = _numbers((pulls > 0).all(dim=0))
    if is_cross_entropy and absent:
        warnings.warn(
            f"no sample of the batch is of the class of {absent}; take a batch with samples of"
            " every class, or S_big may lack directions",
            stacklevel=2,
        )


def _numbers(marked: Tensor) -> str:
    """Return the numbers of the marked outputs, counted from 0, in words; empty if there are
    none.
    """
    numbers = ", ".join(map(str, marked.nonzero().flatten().tolist()))
    return numbers and f"output {numbers}"
