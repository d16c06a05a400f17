"""An MLP of your own as the chain of layers that the theory is about, and its first gradient."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from lowrank_dynamics.errors import UserError

Loss = Callable[[], Tensor]
"""Computes the loss, a scalar, of the model that an MLP is part of, on one batch."""


class Chain(NamedTuple):
    """The parts of an MLP: what comes before the first layer, the layers, what follows each of them."""

    before: list[nn.Module]
    layers: list[nn.Linear]
    after: list[list[nn.Module]]

    @property
    def hidden(self) -> list[nn.Linear]:
        """The layers 1 .. L-1."""
        return self.layers[:-1]

    @property
    def dimension(self) -> int:
        """d, the number of inputs."""
        return self.layers[0].in_features

    @property
    def classes(self) -> int:
        """K, the number of outputs."""
        return self.layers[-1].out_features


def parts(mlp: nn.Sequential) -> Chain:
    """Return the parts of an MLP. Raises UserError, which names the module, if it is not one."""
    before: list[nn.Module] = []
    layers: list[nn.Linear] = []
    after: list[list[nn.Module]] = []
    for place, module in enumerate(mlp):
        if isinstance(module, nn.Linear):
            _require_ordinary(module, place, layers)
            layers.append(module)
            after.append([])
        elif next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
            raise UserError(f"module {place} ({type(module).__name__}) has weights of its own; only Linear layers may")
        else:
            (after[-1] if after else before).append(module)
    if len(layers) < 2:
        raise UserError(f"an MLP needs two Linear layers at least, and this Sequential has {len(layers)}")
    chain = Chain(before, layers, after)
    _require_any_width(chain)
    return chain


def _require_ordinary(layer: nn.Linear, place: int, others: list[nn.Linear]) -> None:
    """Require a layer that maps x to W x + b with weights of its own."""
    named = f"module {place} ({type(layer).__name__})"
    if any(layer is other for other in others):
        raise UserError(f"module {place} is a Linear layer that comes before too; each must have weights of its own")
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        raise UserError(f"the weight of {named} is computed from other parameters; remove the parametrization first")
    if type(layer).forward is not nn.Linear.forward:
        raise UserError(f"{named} is a Linear layer with a forward of its own, which no plain layer can stand in for")


def _require_any_width(chain: Chain) -> None:
    """Require that what stands between hidden layers works at the width of the low-rank network, too."""
    for number, modules in enumerate(chain.after[:-2], start=1):
        for module in modules:
            if not _is_elementwise(module, chain.layers[0].weight):
                raise UserError(
                    f"{type(module).__name__} after layer {number} does not act on each unit by itself, and a low-rank "
                    "MLP has other units there; it may stand only before the first layer or after the last hidden one"
                )
    for number, (layer, following) in enumerate(pairwise(chain.layers), start=1):
        if layer.out_features != following.in_features:
            raise UserError(
                f"layer {number} gives {layer.out_features} numbers, layer {number + 1} takes {following.in_features}: "
                "something between them changes the width; only elementwise modules may stand there"
            )


@torch.no_grad()
def _is_elementwise(module: nn.Module, like: Tensor) -> bool:
    """Return whether a module, in evaluation, keeps the shape and maps each entry by itself."""
    trial = copy.deepcopy(module).eval()
    inputs = torch.linspace(-1, 1, 12, dtype=like.dtype, device=like.device).reshape(2, 6)
    changed = inputs.clone()
    changed[0, 0] = 0.5
    try:
        with _leaving_no_trace(like.device):
            outputs, others = trial(inputs), trial(changed)
    except Exception:  # a module that takes no such input raises anything
        return False
    kept = outputs.shape == inputs.shape
    return kept and torch.allclose(outputs.flatten()[1:], others.flatten()[1:], equal_nan=True)


@torch.enable_grad()
def first_gradient(chain: Chain, loss: Loss) -> Tensor:
    """Return G_1: (m, d), the gradient of the loss in the first layer's weight.

    The one call of the loss leaves the random state and the buffers of modules, such as running means, as they were.
    Raises UserError for an invalid loss, one that leaves out an output, and a gradient that is zero or not finite.
    Warns if the batch seems to have no sample of some class.
    """
    weight, outputs = chain.layers[0].weight, []
    if not weight.requires_grad:
        raise UserError("the first layer is frozen: its weight must require a gradient, which defines S_big")
    hook = chain.layers[-1].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with _leaving_no_trace(weight.device):
            value = _checked(loss())
            gradient, *of_outputs = torch.autograd.grad(value, [weight, *outputs], allow_unused=True)
    finally:
        hook.remove()
    if gradient is None or not bool(gradient.isfinite().all()) or not bool(gradient.any()):
        raise UserError("the loss has no finite gradient in the first layer, or one that is zero: S_big is not defined")
    _look_for_each_class([each.flatten(end_dim=-2) for each in of_outputs if each is not None])
    return gradient


def _checked(value: object) -> Tensor:
    """Return a loss. Raises UserError if it is no tensor with one value and a gradient."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(f"the loss must be a tensor with one value, and it is {found}")
    if not value.requires_grad:
        raise UserError("the loss has no gradient: compute it anew of the model, not under no_grad or inference_mode")
    return value


def _look_for_each_class(gradients: Sequence[Tensor]) -> None:
    """Require that the loss depends on every output; `gradients` are its own in the outputs (n, K) of each pass.

    Those of a cross-entropy sum to zero in each sample, and are negative only at its class.
    """
    pulls = torch.cat([*gradients])
    if unused := _numbers(~pulls.any(dim=0)):
        raise UserError(
            f"the loss does not depend on {unused}, so S_big would lack directions; take a batch with samples of "
            "every class, and a loss that uses every output"
        )
    is_cross_entropy = bool((pulls.sum(dim=1).abs() < 1e-3 * pulls.abs().sum(dim=1)).all())
    if is_cross_entropy and (absent := _numbers((pulls > 0).all(dim=0))):
        warnings.warn(
            f"no sample of the batch is of the class of {absent}; take a batch with samples of every class, or S_big "
            "may lack directions",
            stacklevel=2,
        )


def _numbers(chosen: Tensor) -> str:
    """Return the numbers of the chosen outputs, counted from 0, in words; none if there are none."""
    numbers = ", ".join(map(str, chosen.nonzero().flatten().tolist()))
    return numbers and f"output {numbers}"


@contextmanager
def _leaving_no_trace(device: torch.device) -> Iterator[None]:
    """Restore, at the end, the random state and the buffers of every module that was called."""
    kept: dict[tuple[nn.Module, str], tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, _: object) -> None:
        for name, buffer in module.named_buffers(recurse=False):
            kept.setdefault((module, name), (buffer, buffer.clone()))

    hook = register_module_forward_pre_hook(keep)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        hook.remove()
        with torch.no_grad():
            for (module, name), (buffer, value) in kept.items():
                setattr(module, name, buffer.copy_(value))
