"""The samples of each step: all of them, or minibatches that each trial draws in an order of its own."""

from collections.abc import Iterator, Sequence

import torch

from lowrank_dynamics.data.dataset import Split


def batches(data: Split, size: int | None, generators: Sequence[torch.Generator]) -> Iterator[Split]:
    """Yield the samples of one step after another, without end: `data` itself if `size` is None.

    Otherwise every epoch takes each sample once, in an order drawn from the trial's generator; an epoch's last
    minibatch holds what is left.
    """
    count = data.inputs.shape[-1]
    while True:
        if size is None:
            yield data
            continue
        orders = torch.stack([torch.randperm(count, generator=generator) for generator in generators])
        for chosen in orders.to(data.inputs.device).split(size, dim=-1):
            yield data.at(chosen)
