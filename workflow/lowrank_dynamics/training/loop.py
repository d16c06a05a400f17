"""The training loop on stacked trials, with a schedule, a stopping rule and observers."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.config.experiment import Training
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.errors import Interrupted, UserError
from lowrank_dynamics.models.networks import StackedNetwork
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.checkpoints import Checkpoint, State, packed, unpacked
from lowrank_dynamics.training.losses import OBJECTIVES, linear_fit_loss
from lowrank_dynamics.training.observables.observer import Iterate, Observer
from lowrank_dynamics.training.optimizer import StackedOptimizer

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
    checkpoint: Checkpoint | None = None,
) -> Iterator[Measurement]:
    """Train all trials and yield what the observers measure; `generators`, one a trial, order the minibatches.

    With a `checkpoint`, an interrupted training resumes where it stopped, with the same numbers, and what was measured
    before is yielded first; Interrupted is raised where the checkpoint is asked to end the training.

    Every `check_every` steps, and at the last, a trial whose loss is within `stop_near_linear_fit` of the best linear
    fit's is stopped: it is measured a last time and its weights stay as they are. The run ends when all have stopped,
    or after `steps`. Raises UserError, which names the computation, trial and step, if a loss is not finite.
    """
    run = _Run(network, data, settings, observers, check_every=check_every, name=name)
    recorded: list[Measurement] = []
    first = 0
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        run.restore(state)
        first, recorded = state.step, unpacked(state.measurements)
        yield from recorded
    steps = range(first, settings.steps + 1)
    with Progress(name, settings.steps) as progress:
        for step, batch in zip(steps, batches(data, settings.batch_size, generators, first=first), strict=False):
            if checkpoint is not None and step > first and checkpoint.is_due():
                checkpoint.save(run.state(step, recorded))
                if checkpoint.interrupted:
                    raise Interrupted(f"{name}: stopped at step {step}; run the same command again to resume")
            rows = run.step(step, batch, progress)
            yield from rows
            recorded += rows if checkpoint is not None else []
            if run.is_over:
                return


class _Run:
    """The trials of one training between two steps: all that changes from step to step."""

    def __init__(
        self,
        network: StackedNetwork,
        data: Split,
        settings: Training,
        observers: Sequence[Observer],
        *,
        check_every: int,
        name: str,
    ) -> None:
        self.network = network
        self.settings = settings
        self.observers = observers
        self.check_every = check_every
        self.name = name
        self.is_over = False
        self._objective = OBJECTIVES[settings.objective]
        self._threshold = _stopping_loss(settings, data)
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimizer = StackedOptimizer(settings.optimizer, self._trained, settings.weight_decay)
        self._running = torch.ones(network.trials, dtype=torch.bool, device=data.inputs.device)

    def step(self, step: int, batch: Split, progress: Progress) -> list[Measurement]:
        """Measure what is due at a step and, unless it is the last of all trials, move on to the next."""
        outputs = self.network(batch.inputs)
        losses = self._objective(outputs, batch.targets)
        _require_finite(losses, step, self.settings, self.name)
        gradients = torch.autograd.grad(losses.sum(), self._trained)
        iterate = Iterate(step, self.network, batch, outputs.detach(), losses.detach(), gradients)
        last = step == self.settings.steps
        rows = _measure(iterate, self.observers, self._running, everything=last)
        if last or step % self.check_every == 0:
            progress.reach(step, f"mean training loss {float(iterate.losses.mean()):.4g}")
            rows += self._stop(iterate, last=last)
        if self.is_over:
            _warn_of_unfinished(self._running, self.settings, self.name)
            return rows
        if self.settings.stop_near_linear_fit is not None:
            moving = self._running.to(gradients[0].dtype)[:, None, None]
            gradients = tuple(gradient * moving for gradient in gradients)
        self._optimizer.step(gradients, learning_rate(self.settings, step))
        return rows

    def _stop(self, iterate: Iterate, *, last: bool) -> list[Measurement]:
        """Stop the trials that have come near the linear fit, or all if it is the last step; return whose step it was.

        Those that have not come near it by then count as running.
        """
        stopping = self._running & (iterate.losses <= self._threshold)
        ended = self._running if last else stopping
        rows = [_last_step(iterate.step, ended)] if last or bool(stopping.any()) else []
        self._running = self._running & ~stopping
        self.is_over = last or not bool(self._running.any())
        return rows

    def state(self, step: int, recorded: Sequence[Measurement]) -> State:
        """Return what is needed to resume before a step; `recorded` is what was measured until then."""
        return State(
            step=step,
            parameters=[parameter.detach() for parameter in self.network.parameters()],
            optimizer=self._optimizer.state,
            generators=[generator.get_state() for generator in self._generators()],
            running=self._running,
            observers=[getattr(observer, "state", {}) for observer in self.observers],
            measurements=packed(recorded),
        )

    def restore(self, state: State) -> None:
        """Resume where `state` was taken."""
        for parameter, value in zip(self.network.parameters(), state.parameters, strict=True):
            parameter.detach().copy_(value)
        self._optimizer.state = state.optimizer
        for generator, value in zip(self._generators(), state.generators, strict=True):
            generator.set_state(value)
        self._running = state.running.to(self._running.device)
        for observer, remembered in zip(self.observers, state.observers, strict=True):
            if remembered:
                observer.state = _moved(remembered, self._running.device)  # type: ignore[attr-defined]

    def _generators(self) -> list[torch.Generator]:
        """Return those that random activations draw from in every step."""
        return [generator for module in self.network.modules() for generator in getattr(module, "generators", [])]


def _moved(state: Any, device: torch.device) -> Any:
    """Return tensors, in dictionaries of any depth, on a device; a state is read to the host."""
    if isinstance(state, dict):
        return {key: _moved(value, device) for key, value in state.items()}
    return state.to(device)


def learning_rate(settings: Training, step: int) -> float:
    """Return eta at a step, from 0 on, by the schedule."""
    return settings.learning_rate * SCHEDULES[settings.schedule](step / settings.steps)


def _stopping_loss(settings: Training, data: Split) -> Tensor:
    """Return the loss (trials,) or () at or below which a trial stops; minus infinity if there is no such rule."""
    if settings.stop_near_linear_fit is None:
        return torch.tensor(-math.inf)
    return (1 + settings.stop_near_linear_fit) * linear_fit_loss(data.inputs, data.targets)


def _require_finite(losses: Tensor, step: int, settings: Training, name: str) -> None:
    if not bool(losses.isfinite().all()):
        diverged = torch.nonzero(~losses.isfinite()).flatten().tolist()
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
