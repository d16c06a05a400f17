"""The training loop: gradient descent on stacked trials, with a schedule, a stopping rule and observers."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from lowrank_dynamics.config import Training
from lowrank_dynamics.data import Split
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Measurement
from lowrank_dynamics.networks import MLP, LowRankMLP
from lowrank_dynamics.objectives import OBJECTIVES, linear_fit_loss
from lowrank_dynamics.observables import Iterate, Observer
from lowrank_dynamics.progress import Progress

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}
"""The factor on the learning rate as a function of the fraction of the steps that is done."""


def train(
    network: MLP | LowRankMLP,
    data: Split,
    settings: Training,
    observers: Sequence[Observer],
    *,
    check_every: int,
    name: str,
) -> Iterator[Measurement]:
    """Train all trials by full-batch gradient descent and yield what the observers measure.

    Every `check_every` steps, and at the last, a trial whose loss is within `stop_near_linear_fit` of the best linear
    fit's is stopped: it is measured a last time and its weights stay as they are. The run ends when all have stopped,
    or after `steps`. Raises UserError, which names the computation, trial and step, if a loss is not finite.
    """
    objective = OBJECTIVES[settings.objective]
    threshold = _stopping_loss(settings, data)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    running = torch.ones(network.trials, dtype=torch.bool, device=data.inputs.device)
    with Progress(name, settings.steps) as progress:
        for step in range(settings.steps + 1):
            outputs = network(data.inputs)
            losses = objective(outputs, data.targets)
            iterate = Iterate(step, network, outputs.detach(), losses.detach())
            _require_finite(iterate, settings, name)
            last = step == settings.steps
            stopping = torch.zeros_like(running)
            if last or step % check_every == 0:
                stopping = running & (iterate.losses <= threshold)
                progress.reach(step, float(iterate.losses.mean()))
            yield from _measure(iterate, observers, running, everything=last)
            running = running & ~stopping
            if last or not running.any():
                _warn_of_unfinished(running, settings, name)
                return
            gradients = torch.autograd.grad(losses.sum(), parameters)
            _descend(parameters, gradients, learning_rate(settings, step), running)


def learning_rate(settings: Training, step: int) -> float:
    """Return eta at a step, from 0 on, by the schedule."""
    return settings.learning_rate * SCHEDULES[settings.schedule](step / settings.steps)


@torch.no_grad()
def _descend(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], rate: float, running: Tensor) -> None:
    """Take the step Theta <- Theta - eta grad in the running trials (trials,), and none in the others.

    Written out, because `torch.optim` loads torch's compiler at its first use, which takes as long as torch itself.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.addcmul_(running.to(parameter.dtype)[:, None, None], gradient, value=-rate)


def _stopping_loss(settings: Training, data: Split) -> Tensor:
    """Return the loss (trials,) or () at or below which a trial stops; minus infinity if there is no such rule."""
    if settings.stop_near_linear_fit is None:
        return torch.tensor(-math.inf)
    return (1 + settings.stop_near_linear_fit) * linear_fit_loss(data.inputs, data.targets)


def _require_finite(iterate: Iterate, settings: Training, name: str) -> None:
    diverged = torch.nonzero(~iterate.losses.isfinite()).flatten().tolist()
    if diverged:
        raise UserError(
            f"{name}: the training loss is not finite at step {iterate.step} in trial {diverged[0]}; "
            f"lower training.learning_rate, which is {settings.learning_rate:g}"
        )


def _warn_of_unfinished(running: Tensor, settings: Training, name: str) -> None:
    if settings.stop_near_linear_fit is not None and running.any():
        log.warning(
            "%s: %d of %d trials took all %d steps without coming near the linear fit; raise training.steps",
            name,
            int(running.sum()),
            len(running),
            settings.steps,
        )


@torch.no_grad()
def _measure(
    iterate: Iterate, observers: Sequence[Observer], running: Tensor, *, everything: bool
) -> list[Measurement]:
    """Return what the observers that are due, or all if `everything`, measure on the running trials."""
    return [
        Measurement(iterate.step, layer, quantity, values.double().cpu().numpy(), running.cpu().numpy())
        for observer in observers
        if everything or observer.is_due(iterate.step)
        for quantity, layer, values in observer.measure(iterate)
    ]
