"""The first gradient of your own MLP, which defines S_big."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.chain import Chain
from lowrank_dynamics.models.no_trace import leaving_no_trace

Loss = Callable[[], Tensor]
"""Computes the loss, a scalar, of the model that an MLP is part of, on one batch."""


@torch.enable_grad()
def first_gradient(chain: Chain, loss: Loss) -> Tensor:
    """Return G_1: (m, d), the gradient of the loss in the first layer's weight.

    The one call of the loss leaves the random state and the buffers of modules, such as running
    means, as they were. Raises UserError for an invalid loss, one that leaves out an output, and a
    gradient that is zero or not finite. Warns if the batch seems to have no sample of some class.
    """
    weight, outputs = chain.layers[0].weight, list[Tensor]()
    if not callable(loss):
        raise UserError(
            "the loss must be a function that computes it, such as lambda: criterion(model(x), y)"
        )
    if not weight.requires_grad:
        raise UserError(
            "the first layer is frozen: its weight must require a gradient, which defines S_big"
        )
    hook = chain.layers[-1].register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    try:
        with leaving_no_trace(weight.device):
            value = _checked(loss())
            gradient, *of_outputs = torch.autograd.grad(
                value, [weight, *outputs], allow_unused=True
            )
    finally:
        hook.remove()
    if gradient is None or not bool(gradient.isfinite().all()) or not bool(gradient.any()):
        raise UserError(
            "the loss has no finite gradient in the first layer, or one that is zero: S_big is not"
            " defined"
        )
    pulls = [each.flatten(end_dim=-2) for each in of_outputs if each is not None]
    if not pulls:
        raise UserError(
            "the loss does not pass through the last layer; compute it of the output of the model"
        )
    _look_for_each_class(pulls)
    return gradient


def _checked(value: object) -> Tensor:
    """Return a loss. Raises UserError if it is no tensor with one value and a gradient."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = (
            f"of shape {tuple(value.shape)}"
            if isinstance(value, Tensor)
            else f"a {type(value).__name__}"
        )
        raise UserError(f"the loss must be a tensor with one value, and it is {found}")
    if not value.requires_grad:
        raise UserError(
            "the loss has no gradient: compute it anew of the model, not under no_grad or"
            " inference_mode"
        )
    return value


def _look_for_each_class(gradients: Sequence[Tensor]) -> None:
    """Require that the loss depends on every output; `gradients` are its own in the outputs (n, K)
    of each pass.

    Those of a cross-entropy sum to zero in each sample, and are negative only at its class.
    """
    pulls = torch.cat([*gradients])
    if unused := _numbers(~pulls.any(dim=0)):
        raise UserError(
            f"the loss does not depend on {unused}, so S_big would lack directions; take a batch"
            " with samples of every class, and a loss that uses every output"
        )
    is_cross_entropy = bool((pulls.sum(dim=1).abs() < 1e-3 * pulls.abs().sum(dim=1)).all())
    if is_cross_entropy and (absent := _numbers((pulls > 0).all(dim=0))):
        warnings.warn(
            f"no sample of the batch is of the class of {absent}; take a batch with samples of"
            " every class, or S_big may lack directions",
            stacklevel=2,
        )


def _numbers(chosen: Tensor) -> str:
    """Return the numbers of the chosen outputs, counted from 0, in words; empty if there are
    none.
    """
    numbers = ", ".join(map(str, chosen.nonzero().flatten().tolist()))
    return numbers and f"output {numbers}"
