"""Steps of an optimizer on stacked trials, each trial being trained as if it were alone."""

import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from lowrank_dynamics.optimizers import OPTIMIZERS


class GradientDescent:
    """Theta <- Theta - eta grad, with the part of the interface of `torch.optim` that is used here.

    Written out, because `torch.optim` loads torch's compiler at its first use, which takes as long as torch itself.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], lr: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]

    def step(self) -> None:
        """Take one step along the gradients in the parameters' `grad`."""
        (group,) = self.param_groups
        for parameter in group["params"]:
            parameter.data.add_(parameter.grad, alpha=-group["lr"])


class StackedOptimizer:
    """The optimizer called `name` on `parameters` (trials, ., .), updated in place.

    A matrixwise optimizer gets each trial's matrix as a parameter of its own, a view into the stack. Every other one
    treats the entries one by one, so it takes the stacks as they are.
    """

    def __init__(self, name: str, parameters: Sequence[nn.Parameter]) -> None:
        entry = OPTIMIZERS[name]
        self._matrixwise = entry.matrixwise
        self._parameters = list(parameters)
        if entry.matrixwise:
            self._parameters = [nn.Parameter(matrix) for matrix in _matrices(parameters)]
        self._optimizer = pkgutil.resolve_name(entry.target)(self._parameters, lr=0.0, **entry.options)

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step with these gradients, shaped like the parameters, and this learning rate."""
        shaped = _matrices(gradients) if self._matrixwise else gradients
        for parameter, gradient in zip(self._parameters, shaped, strict=True):
            parameter.grad = gradient
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()


def _matrices(stacks: Iterable[Tensor]) -> list[Tensor]:
    return [matrix for stack in stacks for matrix in stack.detach().unbind()]
