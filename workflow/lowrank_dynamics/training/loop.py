"""The training loop on stacked trials, with a schedule, a stopping rule and observers."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowrank_dynamics.config.blocks import Training
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.errors import Interrupted, UserError
from lowrank_dynamics.progress import Progress
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.build import Setup
from lowrank_dynamics.training.checkpoints import Checkpoint, State
from lowrank_dynamics.training.losses import forward_and_back, linear_fit_loss
from lowrank_dynamics.training.observables.observer import Iterate, Observer
from lowrank_dynamics.training.optimizer import StackedOptimizer
from lowrank_dynamics.training.projection import Block

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}
"""The factor on the learning rate as a function of the fraction of the steps that is done."""


def learning_rate(settings: Training, step: int) -> float:
    """Return eta at a step, from 0 on, by the schedule."""
    progress = step / max(settings.steps, 1)
    return settings.learning_rate * SCHEDULES[settings.schedule](progress)


def train(
    setup: Setup, observers: Sequence[Observer], checkpoint: Checkpoint | None = None
) -> Iterator[Measurement]:
    """Train all trials of `setup.network`, in place, and yield what the observers measure.

    With a `checkpoint`, an interrupted training resumes where it stopped, with the same numbers,
    and what was measured before is yielded first; Interrupted is raised where the checkpoint is
    asked to end the training.

    Whenever the loss is due to be observed, a trial whose loss is within `stop_near_linear_fit` of
    the best linear fit's is stopped: it is measured a last time and its weights stay as they are.
    A trial that `may_diverge` is stopped, and not measured, when its loss is not finite. The run
    ends when all have stopped, or after `steps`. Raises UserError, which names the computation,
    trial and step, if any other loss is not finite.

    Whether losses are finite is looked at before something is measured or saved, because a GPU
    would run idle if each step waited for the answer. So a step between two measurements reads
    nothing back.
    """
    job, settings = setup.job, setup.job.cell_settings.training
    run = _Run(setup, observers)
    first = 0
    state = None
    if checkpoint is not None:
        state = checkpoint.load()
    if state is not None:
        log.info("%s: resuming at step %d", job.title, state.step)
        first = state.step
        run.restore(state)
        yield from run.recorded
    samples = batches(setup.data.train, settings.batch_size, job.generators("batches"), first=first)
    with closing(Progress(job.title, settings.steps)) as progress:
        for step, batch in enumerate(samples, start=first):
            if checkpoint is not None and step > first and checkpoint.is_due():
                yield from run.check()
                if run.is_over:
                    return
                checkpoint.save(run.state(step))
                if checkpoint.interrupted:
                    raise Interrupted(_interrupted(job.title, step, checkpoint))
            yield from run.step(step, batch, progress)
            if run.is_over:
                return


def _interrupted(title: str, step: int, checkpoint: Checkpoint) -> str:
    """Return what is said of a training that was interrupted."""
    then = "to resume"
    if not checkpoint.path.exists():
        then = "to start over, because no checkpoint could be saved"
    return f"{title}: stopped at step {step}; run the same command again {then}"


class _Run:
    """The trials of one training between two steps: all that changes from step to step."""

    def __init__(self, setup: Setup, observers: Sequence[Observer]) -> None:
        self.job, self.network, self.observers = setup.job, setup.network, observers
        self.settings = setup.job.cell_settings.training
        self.recorded: list[Measurement] = []
        self.is_over = False
        self._threshold = torch.tensor(-math.inf)
        if self.settings.stop_near_linear_fit is not None:
            best = linear_fit_loss(setup.data.train.inputs, setup.data.train.targets)
            self._threshold = (1 + self.settings.stop_near_linear_fit) * best
        parameters = self.network.parameters()
        self._trained = [parameter for parameter in parameters if parameter.requires_grad]
        self._optimizer = StackedOptimizer(
            self.settings.optimizer, self._trained, self.settings.weight_decay
        )
        self._projection = setup.projection
        self._running = torch.ones(self.network.trials, dtype=torch.bool, device=setup.job.device)
        self._unchecked: list[tuple[int, Tensor]] = []
        self._generators: list[torch.Generator] = []
        for module in self.network.modules():
            self._generators += getattr(module, "generators", [])

    def step(self, step: int, batch: Split, progress: Progress) -> list[Measurement]:
        """Measure what is due at a step and, unless it is the last of all trials, move on to the
        next.
        """
        last = step == self.settings.steps
        results = forward_and_back(
            self.network,
            batch,
            self.settings.objective,
            self._trained,
            self.job.cell_settings.samples_at_once,
        )
        self._unchecked.append((step, results.losses))
        observers = [observer for observer in self.observers if observer.is_due(step, last=last)]
        reports = last or step % self.job.cell_settings.observe.loss == 0
        rows: list[Measurement] = []
        if observers or reports or self._renews_projection(step):
            rows += self.check()
        iterate = Iterate(
            step=step,
            network=self.network,
            batch=batch,
            outputs=results.outputs,
            losses=results.losses,
            gradients=results.gradients,
            eta=learning_rate(self.settings, step),
            running=self._running,
            last=last,
        )
        if not self.is_over:
            rows += self._recorded(_measured(iterate, observers))
        if reports:
            rows += self._report(iterate, progress)
        if last:
            self.is_over = True
            self._warn_of_unfinished()
        if not self.is_over:
            self._update(iterate)
        return rows

    def _report(self, iterate: Iterate, progress: Progress) -> list[Measurement]:
        """Show the mean loss, and stop the trials that have come near the linear fit; return the
        step as the last one of those that end.
        """
        mean = float(iterate.losses[self._running].mean())
        progress.reach(iterate.step, f"mean training loss {mean:.4g}")
        near = self._near_linear_fit(iterate.losses)
        rows = self._recorded(_last_step(iterate, self._running if iterate.last else near))
        self._stop(near)
        return rows

    def _update(self, iterate: Iterate) -> None:
        """Take the step of the trials that have not stopped."""
        gradients = self._of_running(iterate.gradients)
        if self._projection is not None:
            gradients = self._projection.of(iterate.step, gradients)
        self._optimizer.step(gradients, iterate.eta)

    def check(self) -> list[Measurement]:
        """Look at the losses of the steps since the last check. Trials that `may_diverge` are
        stopped where theirs is not finite, and that step is returned as their last one. Raises
        UserError for others.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return []
        losses = torch.stack([of_step for _, of_step in unchecked])
        diverged = self._running & ~losses.isfinite()
        if not bool(diverged.any()):
            return []
        rows: list[Measurement] = []
        running = self._running.cpu()
        for (step, _), of_step in zip(unchecked, diverged.cpu(), strict=True):
            ended = of_step & running
            running = running & ~ended
            if bool(ended.any()):
                self._require_may_diverge(step, ended)
                steps = np.full(len(ended), float(step))
                rows.append(Measurement(step, 0, "last_step", steps, ended.numpy()))
        self._stop(~running.to(self._running.device))
        return self._recorded(rows)

    def _require_may_diverge(self, step: int, diverged: Tensor) -> None:
        """Raise UserError, which names the first of the diverged trials (trials,), unless they
        `may_diverge`.
        """
        if self.settings.may_diverge:
            return
        trial = self.job.trials[int(diverged.nonzero()[0])]
        raise UserError(
            f"{self.job.title}: the training loss is not finite at step {step} in trial {trial};"
            f" lower training.learning_rate, which is {self.settings.learning_rate:g}"
        )

    def _renews_projection(self, step: int) -> bool:
        """Return whether the gradients of this step are decomposed, which they can only be if they
        are finite.
        """
        return self._projection is not None and self._projection.is_renewed(step)

    def _recorded(self, rows: list[Measurement]) -> list[Measurement]:
        """Return rows, after they were added to those of a checkpoint."""
        self.recorded += rows
        return rows

    def _near_linear_fit(self, losses: Tensor) -> Tensor:
        """Return which of the running trials (trials,) have come near the linear fit, by their
        losses (trials,).
        """
        return self._running & (losses <= self._threshold)

    def _stop(self, trials: Tensor) -> None:
        """Stop the marked trials (trials,); the run is over with the last of all."""
        self._running = self._running & ~trials
        self.is_over = not bool(self._running.any())

    def _warn_of_unfinished(self) -> None:
        """Log how many trials took all steps without coming near the linear fit, if they had to."""
        unfinished = int(self._running.sum())
        if unfinished and self.settings.stop_near_linear_fit is not None:
            log.warning(
                "%s: %d of %d trials took all %d steps without coming near the linear fit; raise"
                " training.steps",
                self.job.title,
                unfinished,
                len(self._running),
                self.settings.steps,
            )

    def _of_running(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return gradients (trials, ., .) with zero for the trials that have stopped."""
        if self.settings.stop_near_linear_fit is None and not self.settings.may_diverge:
            return gradients
        moving = self._running[:, None, None]
        zero = gradients[0].new_zeros(())
        return [gradient.where(moving, zero) for gradient in gradients]

    def state(self, step: int) -> State:
        """Return what is needed to resume before a step."""
        return State(
            step=step,
            parameters=self.network.state_dict(),
            optimizer=self._optimizer.state,
            generators=[generator.get_state() for generator in self._generators],
            running=self._running,
            blocks=self._blocks(),
            observers=[observer.state for observer in self.observers],
            measurements=[_as_lists(row) for row in self.recorded],
        )

    def _blocks(self) -> list[tuple[Tensor, Tensor]]:
        """Return the bases of the projection, if there is one."""
        if self._projection is None:
            return []
        return [(block.left, block.right) for block in self._projection.blocks]

    def restore(self, state: State) -> None:
        """Resume where `state` was taken; its tensors are on the host."""
        device = self._running.device
        self.network.load_state_dict(state.parameters)
        self._optimizer.state = state.optimizer
        for generator, drawn in zip(self._generators, state.generators, strict=True):
            generator.set_state(drawn)
        self._running = state.running.to(device)
        if self._projection is not None:
            self._projection.blocks = [
                Block(left.to(device), right.to(device)) for left, right in state.blocks
            ]
        for observer, remembered in zip(self.observers, state.observers, strict=True):
            observer.state = {key: tensor.to(device) for key, tensor in remembered.items()}
        for step, layer, quantity, values, present in state.measurements:
            row = Measurement(step, layer, quantity, np.array(values), np.array(present))
            self.recorded.append(row)


@torch.no_grad()
def _measured(iterate: Iterate, observers: Sequence[Observer]) -> list[Measurement]:
    """Return what these observers measure."""
    rows: list[Measurement] = []
    for observer in observers:
        rows += observer.measure(iterate)
    return rows


def _last_step(iterate: Iterate, ended: Tensor) -> list[Measurement]:
    """Return the step as the `last_step` of the trials that end there (trials,), if there are
    any.
    """
    if not bool(ended.any()):
        return []
    steps = torch.full(ended.shape, float(iterate.step), dtype=torch.float64)
    return [iterate._replace(running=ended).measured("last_step", 0, steps)]


def _as_lists(row: Measurement) -> tuple[int, int, str, list[Any], list[bool]]:
    """Return a measurement with lists in place of arrays."""
    return row.step, row.layer, row.quantity, row.values.tolist(), row.present.tolist()
