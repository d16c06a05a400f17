"""A head together with the convolutions below it, both trained: the full model of figure 7."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lowrank_dynamics.models.convolutions import as_input, pooled
from lowrank_dynamics.models.networks import StackedNetwork

AT_ONCE = 128
"""Images of a trial that pass through the convolutions together: this limits the memory that
evaluation takes.
"""


class FineTuned(StackedNetwork):
    """Convolutions, each trial's own copy, and a head with its trials stacked.

    Images have a `shape` (1 or 3, rows, columns); `size` is the side to which they are resized,
    `pool` the cells per side of the last average. With `mixed_precision` the convolutions, but not
    the head, compute in bfloat16 where that keeps enough digits.
    """

    def __init__(
        self,
        head: StackedNetwork,
        convolutions: nn.Module,
        shape: tuple[int, int, int],
        *,
        size: int,
        pool: int,
        mixed_precision: bool,
    ) -> None:
        super().__init__()
        self.head = head
        self.shape, self.size, self.pool, self.mixed_precision = shape, size, pool, mixed_precision
        self._convolutions = (
            convolutions,
        )  # in a tuple, for its own values are not among what is trained
        self._names, values = zip(*convolutions.named_parameters(), strict=True)
        self.copies = nn.ParameterList(
            value.expand(head.trials, *value.shape).clone() for value in values
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (pixels, N) or (trials, pixels, N) in [0, 1] to outputs (trials, K, N)."""
        return self.head(self.features(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """Map inputs (pixels, N) or (trials, pixels, N) in [0, 1] to features (trials, d, N)."""
        stacked = inputs.expand(self.trials, *inputs.shape[-2:])
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            found = [
                self._features(trial, *own)
                for trial, *own in zip(stacked, *self.copies, strict=True)
            ]
        return torch.stack(found).to(inputs.dtype)

    def _features(self, inputs: Tensor, *copy: Tensor) -> Tensor:
        """Return the features (d, N) of inputs (pixels, N) by one trial's copy of the
        convolutions.
        """
        values = dict(zip(self._names, copy, strict=True))
        convolved = partial(functional_call, self._convolutions[0], values)
        chunks = inputs.mT.reshape(-1, *self.shape).split(AT_ONCE)
        return torch.cat(
            [pooled(convolved, as_input(chunk, self.size), self.pool) for chunk in chunks]
        ).mT
