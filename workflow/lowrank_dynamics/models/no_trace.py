"""Calling your own model without changing it, or the random numbers that come next."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def leaving_no_trace(device: torch.device) -> Iterator[None]:
    """Restore, at the end, the random state and the buffers of every module that was called."""
    kept: dict[tuple[nn.Module, str], tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, _: object) -> None:
        for name, buffer in module.named_buffers(recurse=False):
            kept.setdefault((module, name), (buffer, buffer.clone()))

    hook = register_module_forward_pre_hook(keep)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        hook.remove()
        with torch.no_grad():
            for (module, name), (buffer, value) in kept.items():
                setattr(module, name, buffer.copy_(value))
