"""The steps of an optimizer on stacked trials, each trial trained as if it were alone."""

import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lowrank_dynamics.config.registries import OPTIMIZERS
from lowrank_dynamics.errors import UserError


class GradientDescent:
    """Theta <- Theta - eta grad, with the part of the interface of `torch.optim` that is used here.

    Written out, because `torch.optim` loads torch's compiler at its first use, which takes as long
    as torch itself.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float) -> None:
        assert weight_decay == 0, "the settings refuse it"
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]

    def state_dict(self) -> dict[str, Any]:
        """Return the state between steps: none."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept what `state_dict` returned."""

    def step(self) -> None:
        """Take one step along the gradients in the parameters' `grad`."""
        (group,) = self.param_groups
        for parameter in group["params"]:
            parameter.data.add_(parameter.grad, alpha=-group["lr"])


class StackedOptimizer:
    """The optimizer called `name` on `parameters` (trials, ., .), updated in place.

    Each trial's matrix is its own parameter, a view into the stack. So Muon sees matrices, and no
    rounding depends on a trial's place in the stack. Raises UserError for an optimizer that takes
    no learning rate or weight decay.
    """

    def __init__(self, name: str, parameters: Sequence[nn.Parameter], weight_decay: float) -> None:
        entry = OPTIMIZERS[name]
        optimizer_class = pkgutil.resolve_name(entry.target)
        options = {"weight_decay": weight_decay, **entry.options}
        self._matrices = [nn.Parameter(matrix) for matrix in _matrices(parameters)]
        try:
            self._optimizer = optimizer_class(self._matrices, lr=0.0, **options)
        except TypeError as error:
            raise UserError(
                f"{entry.target} cannot be used: it must take lr and weight_decay ({error})"
            ) from error

    @property
    def state(self) -> dict[str, Any]:
        """The optimizer's state between steps, such as momentum."""
        return self._optimizer.state_dict()

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state)

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step with these gradients, shaped like the parameters, and this learning
        rate.
        """
        for matrix, gradient in zip(self._matrices, _matrices(gradients), strict=True):
            matrix.grad = _laid_out_as(matrix, gradient)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        for matrix in self._matrices:
            matrix.grad = None  # or it would stay in memory beside the next one


def _laid_out_as(matrix: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient in the memory layout of its matrix: torch's fused optimizers go through
    both side by side.
    """
    if gradient.stride() == matrix.stride():
        return gradient
    return torch.empty_like(matrix).copy_(gradient)


def _matrices(stacks: Iterable[Tensor]) -> list[Tensor]:
    """Return each trial's matrix of each stack (trials, ., .), as a view."""
    matrices: list[Tensor] = []
    for stack in stacks:
        matrices += stack.detach().unbind()
    return matrices
