"""A submodule of your own model: found inside wrappers of other packages, and replaced."""

import copy
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from lowrank_dynamics.errors import UserError

Copied = TypeVar("Copied", bound=nn.Module)

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
"""Modules that call the model that is their `module`."""
SHARDED = "FullyShardedDataParallel"
"""The class that divides weights among processes; its module takes a second to import."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a compiled, data-parallel or averaged one, and what peft trains in
    place of a module.

    Raises UserError for anything but a module, and for one that is compiled by TorchScript.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"the model must be an nn.Module; got a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UserError(
            "the model is compiled by TorchScript, so its layers cannot be replaced; take the model"
            " that it was made from"
        )
    if isinstance(model, WRAPPERS):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return unwrapped(compiled)
    trained = _path_of_trained(model)
    if trained:
        return unwrapped(model.get_submodule(trained))
    return model


def submodule(model: nn.Module, at: str) -> nn.Module:
    """Return the part of a model at a path such as `classifier.head`, all of it at the empty one,
    not wrapped.

    Raises UserError if there is no such part, or if the weights are divided among processes.
    """
    model = unwrapped(model)
    _require_whole_weights(model)
    try:
        part = model.get_submodule(at)
    except AttributeError as error:
        raise UserError(f"the model has no part {at!r}; {_alternatives(model, at)}") from error
    return unwrapped(part)


def with_submodule(
    model: nn.Module, at: str, part: nn.Module, *, inplace: bool = False
) -> nn.Module:
    """Return a model with another part at a path, a copy unless `inplace`; the part itself if the
    path is empty.

    Where the model has it at several paths, it is replaced at each. A wrapper of peft stays around
    the part, because it saves what it holds. Raises UserError for a model that cannot be copied.
    """
    if not at:
        return part
    whole = unwrapped(model)
    if not inplace:
        try:
            whole = copy_of(whole)
        except UserError as error:
            raise UserError(
                f"{error}; or replace the part in the model with inplace=True"
            ) from error
    replaced = whole.get_submodule(at)
    trained = _path_of_trained(replaced)
    if trained:
        replaced = replaced.get_submodule(trained)
    for path, module in list(whole.named_modules(remove_duplicate=False)):
        if module is replaced:
            whole.set_submodule(path, part)
    return model if inplace else whole


def require_own_weights(model: nn.Module, at: str, part: nn.Module) -> None:
    """Raise UserError if the model uses a weight of its part elsewhere, too: another part in its
    place would have a weight of its own.
    """
    own = set(map(id, part.parameters()))
    for path, module in unwrapped(model).named_modules(memo={part}):
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in own:
                place = f"{path}.{name}" if path else name
                raise UserError(
                    f"{place} is also a weight of the part {at!r}, which would get one of its own;"
                    " give each a weight of its own first"
                )


def copy_of(module: Copied) -> Copied:
    """Return a deep copy of a module. Raises UserError if something in it cannot be copied."""
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"{type(module).__name__} cannot be copied, because it keeps a computed tensor, such as"
            " a weight of the old torch.nn.utils.weight_norm or an output of its last call, or"
            " something else that has no copy; use torch.nn.utils.parametrizations, or delete such"
            " tensors"
        ) from error


def _path_of_trained(module: nn.Module) -> str:
    """Return the path, in a wrapper as peft makes for `modules_to_save`, of the copy that is
    trained; empty if there is none.
    """
    copies = getattr(module, "modules_to_save", None)
    wraps = isinstance(copies, nn.ModuleDict) and hasattr(module, "original_module")
    if not wraps or getattr(module, "disable_adapters", False):
        return ""
    active: Any = module.active_adapter
    name = active if isinstance(active, str) else active[0]
    return f"modules_to_save.{name}"


def _require_whole_weights(model: nn.Module) -> None:
    """Require that no part of a model divides its weights among processes."""
    for module in model.modules():
        names = [kind.__name__ for kind in type(module).__mro__]
        if SHARDED in names:
            raise UserError(
                f"the weights of {type(module).__name__} are divided among processes, and none has"
                " them whole; make the low-rank model first, and shard that"
            )


def _alternatives(model: nn.Module, at: str) -> str:
    """Return what a model has instead of a part: paths that end in its name, or else its parts."""
    paths = [path for path, _ in model.named_modules() if path.endswith(f".{at}")]
    if paths:
        return f"did you mean {' or '.join(map(repr, paths))}?"
    names = ", ".join(name for name, _ in model.named_children())
    return f"its parts are {names}"
