"""Calling your own model without changing it, or the random numbers that come next."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import CodeType, FunctionType, ModuleType
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
    """Restore, at the end, the buffers of a model and of other modules that its loss names.

    Only those that have changed are written to, because a graph may have saved the others.
    """
    modules: set[nn.Module] = set()
    for whole in (model, *modules_named_by(loss)):
        modules.update(whole.modules())
    kept: list[tuple[nn.Module, str, Tensor | None, Tensor | None]] = []
    for module in modules:
        for name, buffer in module._buffers.items():
            kept.append((module, name, buffer, None if buffer is None else buffer.clone()))
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, value in kept:
                setattr(module, name, buffer)
                if buffer is not None and value is not None and _differ(buffer, value):
                    buffer.copy_(value)


def _differ(buffer: Tensor, value: Tensor) -> bool:
    return not buffer.is_meta and not torch.equal(buffer, value)


def modules_named_by(function: object) -> list[nn.Module]:
    """Return the modules that a function may call: among its outer variables, those of functions
    that it names, the arguments that it has beforehand, and the elements or attributes of these.
    """
    modules: list[nn.Module] = []
    seen: set[int] = set()
    open_ends: list[Any] = [function, function.__call__ if callable(function) else None]
    while open_ends:
        value = open_ends.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            modules.append(value)
        elif isinstance(value, partial):
            open_ends += [value.func, *value.args, *value.keywords.values()]
        elif inspect.ismethod(value):
            open_ends += [value.__func__, value.__self__]
        elif inspect.isfunction(value) and not f"{value.__module__}.".startswith("torch."):
            open_ends += _outer_variables(value)
        elif not isinstance(value, type | ModuleType):
            open_ends += [part for part in _parts(value) if isinstance(part, nn.Module)]
    return modules


def _outer_variables(function: FunctionType) -> list[Any]:
    """Return what a function takes from outside, by itself or in functions and comprehensions
    within it.
    """
    values = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it has no value yet
            values.append(cell.cell_contents)
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        values += [function.__globals__.get(name) for name in code.co_names]
    return values


def _parts(value: object) -> Iterable[Any]:
    """Return the elements of a collection, or else the attributes of an object."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return getattr(value, "__dict__", {}).values()
