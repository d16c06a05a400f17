"""Hooks in your own model, which a layer in place of another would not have."""

from torch import nn

from lowrank_dynamics.errors import UserError

OF_MODULES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OF_WEIGHTS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def require_no_hooks(mlp: nn.Module) -> None:
    """Raise UserError if a module of an MLP, or a weight, has hooks: its layers are replaced, and
    hooks may change what they compute or refer to them.
    """
    for path, module in mlp.named_modules():
        if any(getattr(module, kind, None) for kind in OF_MODULES):
            _refuse(f"module {path or type(module).__name__} has a hook")
    for path, parameter in mlp.named_parameters():
        if any(getattr(parameter, kind, None) for kind in OF_WEIGHTS):
            _refuse(f"the weight {path} has a hook")


def _refuse(what: str) -> None:
    raise UserError(
        f"{what}, which would be lost where layers are replaced; remove it (handle.remove(), or as"
        " its package says), and register it on the result if it is needed there"
    )
