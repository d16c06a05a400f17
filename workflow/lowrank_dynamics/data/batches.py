"""The samples of each step: all of them, or minibatches that each trial draws in its own order."""

from collections.abc import Iterator, Sequence
from itertools import islice, repeat

import torch
from torch import Tensor

from lowrank_dynamics.data.dataset import Split


def batches(
    data: Split, size: int | None, generators: Sequence[torch.Generator], *, first: int = 0
) -> Iterator[Split]:
    """Yield the samples of each step, from the step `first` on, without end: all of `data` if
    `size` is None.

    Otherwise every epoch takes each sample once, in an order drawn from the trial's generator; an
    epoch's last minibatch holds what is left. `generators` are those of step 0, whatever `first`
    is.
    """
    if size is None:
        yield from repeat(data)
    else:
        for indices in islice(_indices(data, size, generators), first, None):
            yield data.at(indices)


def _indices(data: Split, size: int, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """Yield the indices (trials, n) of each step's samples, n at most `size`, without end."""
    while True:
        order = _order(data.inputs.shape[-1], generators)
        moved = order.to(data.inputs.device, non_blocking=True)
        yield from moved.split(size, dim=-1)


def _order(count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw an order of all samples for each trial: (trials, count)."""
    return torch.stack([torch.randperm(count, generator=generator) for generator in generators])
