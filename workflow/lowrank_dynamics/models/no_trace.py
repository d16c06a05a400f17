"""Calling your own model without changing it, or the random numbers that come next."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Restore, at the end, the random state of the CPU and of a device."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type != "mps":
            yield
            return
        state = torch.mps.get_rng_state()
        try:
            yield
        finally:
            torch.mps.set_rng_state(state)


@contextmanager
def buffers_kept(model: nn.Module, loss: object) -> Iterator[None]:
    """Restore, at the end, the buffers of a model and of other modules that its loss names."""
    modules: set[nn.Module] = set()
    for whole in (model, *modules_named_by(loss)):
        modules.update(whole.modules())
    kept: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    for module in modules:
        for name, buffer in module.named_buffers(recurse=False):
            kept.append((module, name, buffer, buffer.clone()))
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, value in kept:
                setattr(module, name, buffer.copy_(value))


def modules_named_by(function: object) -> list[nn.Module]:
    """Return the modules among the outer variables of a function, and the one that it is a method
    of.
    """
    owner = getattr(function, "__self__", None)
    written: Any = getattr(function, "__func__", function)
    try:
        variables = inspect.getclosurevars(written)
    except (TypeError, ValueError):  # not written in Python, or a variable has no value yet
        values = [owner]
    else:
        values = [owner, *variables.nonlocals.values(), *variables.globals.values()]
    return [value for value in values if isinstance(value, nn.Module)]
