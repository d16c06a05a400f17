"""The training loop on stacked trials, with a schedule, a stopping rule and observers."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from lowrank_dynamics.config.cell import Training
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.errors import Interrupted, UserError
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.checkpoints import Checkpoint, State
from lowrank_dynamics.training.losses import forward_and_back, linear_fit_loss
from lowrank_dynamics.training.observables.observer import Iterate, Observer
from lowrank_dynamics.training.optimizer import StackedOptimizer

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}
"""The factor on the learning rate as a function of the fraction of the steps that is done."""


def learning_rate(settings: Training, step: int) -> float:
    """Return eta at a step, from 0 on, by the schedule."""
    return settings.learning_rate * SCHEDULES[settings.schedule](step / settings.steps)


def train(
    start: Start, observers: Sequence[Observer], checkpoint: Checkpoint | None = None
) -> Iterator[Measurement]:
    """Train all trials of `start.network`, in place, and yield what the observers measure.

    With a `checkpoint`, an interrupted training resumes where it stopped, with the same numbers,
    and what was measured before is yielded first; Interrupted is raised where the checkpoint is
    asked to end the training.

    Whenever the loss is due to be observed, a trial whose loss is within `stop_near_linear_fit` of
    the best linear fit's is stopped: it is measured a last time and its weights stay as they are.
    The run ends when all have stopped, or after `steps`. Raises UserError, which names the
    computation, trial and step, if a loss is not finite.
    """
    job, settings = start.job, start.job.experiment.training
    run = _Run(start, observers)
    first = 0
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        first = state.step
        run.restore(state)
        yield from run.recorded
    samples = batches(start.data.train, settings.batch_size, job.generators("batches"), first=first)
    with Progress(job.title, settings.steps) as progress:
        for step, batch in enumerate(samples, start=first):
            if checkpoint is not None and step > first and checkpoint.is_due():
                checkpoint.save(run.state(step))
                if checkpoint.interrupted:
                    then = (
                        "to resume"
                        if checkpoint.path.exists()
                        else "to begin anew, for no state could be written"
                    )
                    raise Interrupted(
                        f"{job.title}: stopped at step {step}; run the same command again {then}"
                    )
            yield from run.step(step, batch, progress)
            if run.is_over:
                return


class _Run:
    """The trials of one training between two steps: all that changes from step to step."""

    def __init__(self, start: Start, observers: Sequence[Observer]) -> None:
        self.job, self.network, self.observers = start.job, start.network, observers
        self.settings = start.job.experiment.training
        self.recorded: list[Measurement] = []
        self.is_over = False
        self._threshold = torch.tensor(-math.inf)
        if self.settings.stop_near_linear_fit is not None:
            best = linear_fit_loss(start.data.train.inputs, start.data.train.targets)
            self._threshold = (1 + self.settings.stop_near_linear_fit) * best
        self._trained = [
            parameter for parameter in self.network.parameters() if parameter.requires_grad
        ]
        self._optimizer = StackedOptimizer(
            self.settings.optimizer, self._trained, self.settings.weight_decay
        )
        self._running = torch.ones(self.network.trials, dtype=torch.bool, device=start.job.device)
        self._generators = [
            each for module in self.network.modules() for each in getattr(module, "generators", [])
        ]

    def step(self, step: int, batch: Split, progress: Progress) -> list[Measurement]:
        """Measure what is due at a step and, unless it is the last of all trials, move on to the
        next.
        """
        at_once = self.job.experiment.samples_at_once
        outputs, losses, gradients = forward_and_back(
            self.network, batch, self.settings.objective, self._trained, at_once
        )
        if len(diverged := torch.nonzero(~losses.isfinite())):
            trial = self.job.trials[int(diverged[0])]
            raise UserError(
                f"{self.job.title}: the training loss is not finite at step {step} in trial"
                f" {trial}; lower training.learning_rate, which is {self.settings.learning_rate:g}"
            )
        last = step == self.settings.steps
        iterate = Iterate(step, self.network, batch, outputs, losses, gradients, last)
        rows = self._measure(iterate)
        if last or step % self.job.experiment.observe.loss == 0:
            progress.reach(step, f"mean training loss {float(iterate.losses.mean()):.4g}")
            rows += self._stop(iterate, last=last)
        self.recorded += rows
        if not self.is_over:
            if self.settings.stop_near_linear_fit is not None:
                moving = self._running.to(gradients[0].dtype)[:, None, None]
                gradients = tuple(gradient * moving for gradient in gradients)
            self._optimizer.step(gradients, learning_rate(self.settings, step))
        return rows

    @torch.no_grad()
    def _measure(self, iterate: Iterate) -> list[Measurement]:
        """Return what the observers that are due measure on the running trials."""
        return [
            Measurement(
                iterate.step,
                layer,
                quantity,
                values.double().cpu().numpy(),
                self._running.cpu().numpy(),
            )
            for observer in self.observers
            if observer.is_due(iterate.step, last=iterate.last)
            for quantity, layer, values in observer.measure(iterate)
        ]

    def _stop(self, iterate: Iterate, *, last: bool) -> list[Measurement]:
        """Stop the trials that have come near the linear fit, or all if it is the last step; return
        whose step it was.

        Those that have not come near it by then count as running.
        """
        near = self._running & (iterate.losses <= self._threshold)
        ended = self._running if last else near
        self._running = self._running & ~near
        unfinished = int(self._running.sum())
        self.is_over = last or not unfinished
        if last and unfinished and self.settings.stop_near_linear_fit is not None:
            log.warning(
                "%s: %d of %d trials took all %d steps without coming near the linear fit; raise"
                " training.steps",
                self.job.title,
                unfinished,
                len(ended),
                iterate.step,
            )
        if not bool(ended.any()):
            return []
        steps = np.full(len(ended), float(iterate.step))
        return [Measurement(iterate.step, 0, "last_step", steps, ended.cpu().numpy())]

    def state(self, step: int) -> State:
        """Return what is needed to resume before a step."""
        return State(
            step=step,
            parameters=self.network.state_dict(),
            optimizer=self._optimizer.state,
            generators=[generator.get_state() for generator in self._generators],
            running=self._running,
            observers=[observer.state for observer in self.observers],
            measurements=[
                (*row[:3], row.values.tolist(), row.present.tolist()) for row in self.recorded
            ],
        )

    def restore(self, state: State) -> None:
        """Resume where `state` was taken; its tensors are on the host."""
        device = self._running.device
        self.network.load_state_dict(state.parameters)
        self._optimizer.state = state.optimizer
        for generator, drawn in zip(self._generators, state.generators, strict=True):
            generator.set_state(drawn)
        self._running = state.running.to(device)
        for observer, remembered in zip(self.observers, state.observers, strict=True):
            observer.state = {key: tensor.to(device) for key, tensor in remembered.items()}
        self.recorded = [
            Measurement(step, layer, quantity, np.array(values), np.array(present))
            for step, layer, quantity, values, present in state.measurements
        ]
