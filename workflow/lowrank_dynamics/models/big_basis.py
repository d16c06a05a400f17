"""S_big of your own MLP, from its first layer's weight and the gradient of one loss."""

import inspect
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.chain import Chain
from lowrank_dynamics.models.no_trace import random_numbers_kept
from lowrank_dynamics.models.subspaces import (
    RankTooLowError,
    big_subspace,
    in_float64,
    where_float64_is,
)

Loss = Callable[[], Tensor]
"""Computes the loss, a scalar, of the model that an MLP is part of, on one batch."""
BALANCED = 1e-3
"""The sum of a sample's gradient in the outputs, relative to that of its absolute values, up to
which it counts as zero, as a cross-entropy's is.
"""
REENTRANT = "reentrant checkpointing, which use_reentrant=False replaces"


class FirstGradient(NamedTuple):
    """The gradient of a loss in the first layer's weight, as computed."""

    values: Tensor  # G_1: (m, d)
    balanced: bool
    """Whether each sample's gradient in the outputs sums to zero, as it does for a cross-entropy
    with softmax: then G_1 has rank at most K - 1 where the activations are linear."""
    samples: int
    """The samples of the batch, which bound the rank of G_1, too."""


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
    weight = in_float64(chain.layers[0].weight.detach())
    eps = float(torch.linalg.vector_norm(weight)) / min(weight.shape) ** 0.5
    gradient = loss_gradient(chain, loss)
    try:
        return big_subspace(weight, where_float64_is(gradient.values), chain.classes, eps)
    except RankTooLowError as error:
        enough = gradient.samples >= chain.classes
        if gradient.balanced and enough and error.rank == chain.classes - 1:
            raise _balanced_refusal(error.rank) from error
        raise


def _balanced_refusal(rank: int) -> UserError:
    return UserError(
        f"the gradient has rank K - 1 = {rank}, and S_big needs K: a cross-entropy with softmax"
        " gives no more, whatever the batch, where activations are linear or weights so small that"
        " they seem so; take an activation that is not linear or, for two classes, one output and"
        " binary_cross_entropy_with_logits"
    )


def require_few_outputs(chain: Chain) -> None:
    """Raise UserError unless K < d/2."""
    d, classes = chain.dimension, chain.classes
    if 2 * classes >= d:
        raise UserError(
            f"the theory needs K < d/2, and this MLP has K = {classes} outputs and d = {d} inputs"
        )


def require_values(chain: Chain) -> None:
    """Raise UserError for layers whose weights have no values."""
    if any(layer.weight.is_meta for layer in chain.layers):
        raise UserError(
            "the model is on the meta device, where weights have no values; put it on another one"
            " (to_empty), and initialize or load its weights first"
        )


def require_nonzero_weight(chain: Chain) -> None:
    """Raise UserError for a first layer that is zero or not finite, or has no values."""
    require_values(chain)
    weight = chain.layers[0].weight.detach()
    if not bool(weight.isfinite().all()) or not bool(weight.any()):
        raise UserError("the first layer's weight is zero or not finite: S_big is not defined")


@torch.enable_grad()
def loss_gradient(chain: Chain, loss: Loss) -> FirstGradient:
    """Return G_1: (m, d), the gradient of the loss in the first layer's weight.

    The one call of the loss leaves the random state as it was. Raises UserError for an invalid
    loss, one that leaves out an output, and a gradient that is zero or not finite. Warns if the
    batch seems to have no sample of some class.
    """
    weight = chain.layers[0].weight
    if not _takes_nothing(loss):
        raise UserError(
            "the loss must be a function without arguments that computes it, such as"
            " lambda: criterion(model(x), y)"
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
        with random_numbers_kept(weight.device), _not_compiled():
            value = _checked(loss())
            gradients = _gradients(value, [weight, *outputs])
    finally:
        hook.remove()
    gradient, *of_outputs = gradients
    if gradient is None:
        raise UserError(
            "the loss has no gradient in the first layer: S_big is not defined; compute it from"
            f" this layer, not under no_grad or with {REENTRANT}"
        )
    if not bool(gradient.isfinite().all()) or not bool(gradient.any()):
        raise UserError(
            "the loss has no finite gradient in the first layer, or one that is zero: S_big is not"
            " defined"
        )
    used = [pulls.reshape(-1, pulls.shape[-1]) for pulls in of_outputs if pulls is not None]
    if not used:
        raise UserError(
            "the loss does not pass through the last layer; compute it from the model's output"
        )
    _look_for_autocast(chain.layers[-1], outputs)
    pulls = torch.cat(used)
    balanced = _is_balanced(pulls)
    _look_for_each_class(pulls, balanced=balanced)
    return FirstGradient(gradient, balanced, samples=len(pulls))


def _takes_nothing(loss: object) -> bool:
    """Return whether a loss is a function that can be called without arguments."""
    if not callable(loss):
        return False
    try:
        inspect.signature(loss).bind()
    except TypeError:
        return False
    except ValueError:  # not written in Python, so nobody can tell
        return True
    return True


def _not_compiled() -> AbstractContextManager[object]:
    """Call compiled models as they were written: a compiled one that was called before skips hooks.

    Where nothing was compiled, torch's compiler is not loaded.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _look_for_autocast(last: nn.Linear, outputs: list[Tensor]) -> None:
    """Warn if the outputs of the last layer have fewer digits than its weight."""
    digits = torch.finfo(last.weight.dtype).eps
    coarse = [output.dtype for output in outputs if torch.finfo(output.dtype).eps > digits]
    if coarse:
        warnings.warn(
            f"the loss is computed in {coarse[0]}, as under autocast, so S_big has few digits, and"
            " none where weights are small; compute it without autocast",
            stacklevel=2,
        )


def _gradients(value: Tensor, tensors: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the gradients of a loss in some tensors, None for those that it does not use."""
    try:
        return torch.autograd.grad(value, tensors, allow_unused=True)
    except RuntimeError as error:
        if "second time" in str(error):
            raise UserError(
                "the loss has been differentiated already; it must be computed anew when it is"
                " called, and not call backward()"
            ) from error
        if "heckpoint" not in str(error):
            raise
        raise UserError(
            f"the loss has no gradient in a layer: the model uses {REENTRANT}"
        ) from error


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
            "the loss has no gradient: recompute it from the model, not under no_grad,"
            f" inference_mode, or with {REENTRANT}"
        )
    return value


def _is_balanced(pulls: Tensor) -> bool:
    """Return whether the gradient in the outputs, `pulls` (n, K), sums to zero in each sample."""
    values = in_float64(pulls)
    sums = values.sum(dim=1).abs()
    rounding = max(BALANCED, 4 * torch.finfo(pulls.dtype).eps)
    return bool(sums.sum() <= rounding * values.abs().sum())


def _look_for_each_class(pulls: Tensor, *, balanced: bool) -> None:
    """Require that the loss depends on every output; `pulls` (n, K) is its gradient in the outputs.

    That of a cross-entropy is balanced, and negative only at its class.
    """
    unused = _numbers(~pulls.any(dim=0))
    if unused:
        raise UserError(
            f"the loss does not depend on {unused}, so S_big would lack directions; take a batch"
            " with samples of every class, and a loss that uses every output"
        )
    absent = _numbers((pulls > 0).all(dim=0))
    if balanced and absent:
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
