"""For those whose packages register hooks: they are refused where layers are replaced, and left
alone otherwise.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import Watch, low_rank, merge, subspace_report
from stacks import loss_of, mlp

Register = Callable[[nn.Sequential], Any]


class Counting:
    """As Opacus counts the calls of each layer, on its weights."""

    def __init__(self, model: nn.Sequential) -> None:
        for layer in model:
            layer.register_forward_hook(self.count)

    def count(self, layer: nn.Module, *_: Any) -> None:
        for parameter in layer.parameters():
            parameter.forward_counter = 1 + getattr(parameter, "forward_counter", 0)


HOOKS: dict[str, tuple[Register, str]] = {
    "output": (
        lambda model: model[0].register_forward_hook(lambda _, inputs, output: 2 * output),
        "module 0 has a hook",
    ),
    "input": (
        lambda model: model[2].register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],)),
        "module 2 has a hook",
    ),
    "last": (
        lambda model: model[4].register_forward_hook(lambda _, inputs, output: 2 * output),
        "module 4 has a hook",
    ),
    "activation": (
        lambda model: model[1].register_forward_hook(lambda _, inputs, output: 2 * output),
        "module 1 has a hook",
    ),
    "whole": (
        lambda model: model.register_forward_hook(lambda _, inputs, output: 2 * output),
        "module Sequential has a hook",
    ),
    "backward": (
        lambda model: model[2].register_full_backward_hook(lambda _, given, taken: None),
        "module 2 has a hook",
    ),
    "before backward": (
        lambda model: model[2].register_full_backward_pre_hook(lambda _, gradient: None),
        "module 2 has a hook",
    ),
    "gradient": (
        lambda model: model[2].weight.register_hook(lambda gradient: 0 * gradient),
        "the weight 2.weight has a hook",
    ),
    "accumulated": (
        lambda model: model[0].bias.register_post_accumulate_grad_hook(lambda parameter: None),
        "the weight 0.bias has a hook",
    ),
    "package": (Counting, "module 0 has a hook"),
}


@pytest.mark.parametrize(("register", "said"), HOOKS.values(), ids=HOOKS)
def test_hooks_are_refused_where_layers_are_replaced(register: Register, said: str) -> None:
    """Before the loss is called; the sentence says how to go on."""
    model = mlp(14, 12, 12, 3)
    register(model)
    with refused(rf"{said}, which would be lost where layers are replaced; remove it .* register"):
        low_rank(model, lambda: pytest.fail("the loss was called"))
    with refused(said):
        merge(model)


def test_without_the_hook_the_model_is_taken() -> None:
    model = mlp(14, 12, 12, 3)
    handle = model[0].register_forward_hook(lambda _, inputs, output: 2 * output)
    handle.remove()
    low_rank(model, loss_of(model))


def test_a_layer_with_a_forward_of_its_own_is_refused() -> None:
    """As packages that move weights between devices replace it."""
    model = mlp(14, 12, 12, 3)
    layer = model[2]
    layer.forward = lambda inputs: 2 * functional.linear(inputs, layer.weight)
    with refused(r"module 2 \(Linear\) overrides forward"):
        low_rank(model, loss_of(model))


def test_hooks_that_record_see_the_model_and_no_tracing() -> None:
    """The report and the watch replace nothing, so hooks may stay."""
    block = nn.Sequential(nn.Linear(14, 12), nn.GELU()).double()
    model = nn.Sequential(block, *mlp(12, 12, 3)).double()
    seen: list[Any] = []
    block.register_forward_hook(lambda _, inputs, output: seen.append(output))
    loss = loss_of(model)
    subspace_report(model, loss)
    Watch(model, loss)
    assert [type(output) for output in seen] == [Tensor, Tensor]


def test_hooks_around_the_part_are_copied_with_the_model() -> None:
    model = nn.Sequential(nn.Linear(14, 14, dtype=torch.float64), mlp(14, 12, 12, 3))
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda _, inputs, output: seen.append(output))
    inputs = torch.ones(5, 14, dtype=torch.float64)
    small = low_rank(model, loss_of(model), at="1")
    seen.clear()
    small(inputs)
    (output,) = seen
    assert torch.equal(output, model[0](inputs))
