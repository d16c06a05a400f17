"""A head together with the convolutions below it, both trained: the full model of figure 7."""

from collections.abc import Sequence
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
        self.shape = shape
        self.size = size
        self.pool = pool
        self.mixed_precision = mixed_precision
        # in a tuple, because the module's own values are not trained
        self._convolutions = (convolutions,)
        self._names = [name for name, _ in convolutions.named_parameters()]
        self.copies = nn.ParameterList()
        for value in convolutions.parameters():
            stacked = value.expand(head.trials, *value.shape)
            self.copies.append(stacked.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (pixels, N) or (trials, pixels, N) in [0, 1] to outputs (trials, K, N)."""
        return self.head(self.features(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """Map inputs (pixels, N) or (trials, pixels, N) in [0, 1] to features (trials, d, N)."""
        stacked = inputs.expand(self.trials, *inputs.shape[-2:])
        by_trial = zip(*self.copies, strict=True)
        features = []
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            for images, values in zip(stacked, by_trial, strict=True):
                trial_features = self._features(images, values)
                features.append(trial_features)
        return torch.stack(features).to(inputs.dtype)

    def _features(self, inputs: Tensor, values: Sequence[Tensor]) -> Tensor:
        """Return the features (d, N) of inputs (pixels, N) by convolutions with one trial's
        values.
        """
        named = dict(zip(self._names, values, strict=True))
        convolved = partial(functional_call, self._convolutions[0], named)
        images = inputs.mT.reshape(-1, *self.shape)
        features = []
        for chunk in images.split(AT_ONCE):
            resized = as_input(chunk, self.size)
            features.append(pooled(convolved, resized, self.pool))
        return torch.cat(features).mT
