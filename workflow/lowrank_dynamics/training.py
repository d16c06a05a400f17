"""The training loop on stacked trials, with a schedule, a stopping rule and observers."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.config import Training
from lowrank_dynamics.data import Split
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.metrics import Measurement
from lowrank_dynamics.networks import StackedNetwork
from lowrank_dynamics.objectives import OBJECTIVES, linear_fit_loss
from lowrank_dynamics.observables import Iterate, Observer
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.stacked_optimizer import StackedOptimizer

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}
"""The factor on the learning rate as a function of the fraction of the steps that is done."""


def train(
    network: StackedNetwork,
    data: Split,
    settings: Training,
    observers: Sequence[Observer],
    *,
    generators: Sequence[torch.Generator],
    check_every: int,
    name: str,
) -> Iterator[Measurement]:
    """Train all trials and yield what the observers measure; `generators`, one a trial, order the minibatches.

    Every `check_every` steps, and at the last, a trial whose loss is within `stop_near_linear_fit` of the best linear
    fit's is stopped: it is measured a last time and its weights stay as they are. The run ends when all have stopped,
    or after `steps`. Raises UserError, which names the computation, trial and step, if a loss is not finite.
    """
    objective = OBJECTIVES[settings.objective]
    threshold = _stopping_loss(settings, data)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = StackedOptimizer(settings.optimizer, parameters, settings.weight_decay)
    running = torch.ones(network.trials, dtype=torch.bool, device=data.inputs.device)
    steps = range(settings.steps + 1)
    with Progress(name, settings.steps) as progress:
        for step, batch in zip(steps, batches(data, settings.batch_size, generators), strict=False):
            outputs = network(batch.inputs)
            losses = objective(outputs, batch.targets)
            _require_finite(losses, step, settings, name)
            gradients = torch.autograd.grad(losses.sum(), parameters)
            iterate = Iterate(step, network, batch, outputs.detach(), losses.detach(), gradients)
            last = step == settings.steps
            stopping = torch.zeros_like(running)
            if last or step % check_every == 0:
                stopping = running & (iterate.losses <= threshold)
                progress.reach(step, f"mean training loss {float(iterate.losses.mean()):.4g}")
            yield from _measure(iterate, observers, running, everything=last)
            if last or stopping.any():
                yield _last_step(step, running if last else stopping)
            running = running & ~stopping
            if last or not running.any():
                _warn_of_unfinished(running, settings, name)
                return
            if settings.stop_near_linear_fit is not None:
                moving = running.to(gradients[0].dtype)[:, None, None]
                gradients = tuple(gradient * moving for gradient in gradients)
            optimizer.step(gradients, learning_rate(settings, step))


def learning_rate(settings: Training, step: int) -> float:
    """Return eta at a step, from 0 on, by the schedule."""
    return settings.learning_rate * SCHEDULES[settings.schedule](step / settings.steps)


def _stopping_loss(settings: Training, data: Split) -> Tensor:
    """Return the loss (trials,) or () at or below which a trial stops; minus infinity if there is no such rule."""
    if settings.stop_near_linear_fit is None:
        return torch.tensor(-math.inf)
    return (1 + settings.stop_near_linear_fit) * linear_fit_loss(data.inputs, data.targets)


def _require_finite(losses: Tensor, step: int, settings: Training, name: str) -> None:
    diverged = torch.nonzero(~losses.isfinite()).flatten().tolist()
    if diverged:
        raise UserError(
            f"{name}: the training loss is not finite at step {step} in trial {diverged[0]}; "
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


def _last_step(step: int, ended: Tensor) -> Measurement:
    """Return the step at which the trials (trials,) that have `ended` did so."""
    return Measurement(step, 0, "last_step", np.full(len(ended), float(step)), ended.cpu().numpy())


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
