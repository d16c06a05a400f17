"""For those whose packages wrap models and layers: the model inside is found, or the way to it."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from conftest import refused
from lowrank_dynamics import Watch, low_rank, merge, subspace_report
from lowrank_dynamics.models.submodules import submodule
from stacks import mlp

INPUTS, LABELS = (
    torch.randn(60, 14, generator=torch.Generator().manual_seed(2)),
    torch.arange(60) % 3,
)


class Model(nn.Module):
    def __init__(self, features: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features or nn.Identity()
        self.head = mlp(14, 12, 12, 3, dtype=torch.float32)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


def loss_of(model: nn.Module) -> Any:
    return lambda: functional.cross_entropy(model(INPUTS), LABELS)


class Saved(nn.Module):
    """As peft wraps what `modules_to_save` names: the copy is trained and saved."""

    def __init__(self, module: nn.Module, active: Any) -> None:
        super().__init__()
        self.original_module = module
        self.modules_to_save = nn.ModuleDict({"default": copy.deepcopy(module)})
        self.active_adapter, self.disable_adapters = active, False

    def forward(self, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
        if self.disable_adapters:
            return self.original_module(inputs, *args, **options)
        return self.modules_to_save["default"](inputs, *args, **options)


class Adapted(nn.Module):
    """As peft wraps a layer for LoRA."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = layer
        self.lora_A = nn.Linear(layer.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base_layer(inputs) + self.lora_B(self.lora_A(inputs))


class Outer(nn.Module):
    """As peft's model holds the one that it was made from, two modules deep."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"model": model})

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base_model["model"](inputs)


def test_an_averaged_model_is_unwrapped() -> None:
    model = Model()
    averaged = AveragedModel(model)
    one, other = (low_rank(each, loss_of(each), at="head") for each in (averaged, model))
    assert torch.equal(one(INPUTS), other(INPUTS))
    assert isinstance(one, Model)


@pytest.mark.parametrize("active", ["default", ["default"]])
@pytest.mark.parametrize("inplace", [True, False])
def test_what_peft_saves_is_replaced_in_its_wrapper(active: Any, inplace: bool) -> None:
    """So that peft saves it; merging finds it there, too."""
    plain, model = Model(), Model()
    model.head = Saved(model.head, active)
    subspace_report(model, loss_of(model), at="head")
    Watch(model, loss_of(model), at="head")
    small = low_rank(model, loss_of(model), at="head", inplace=inplace)
    expected = low_rank(plain, loss_of(plain), at="head")
    assert "input_factor" in dict(small.head.modules_to_save["default"].named_children())
    assert torch.equal(small(INPUTS), expected(INPUTS))
    torch.testing.assert_close(merge(small, at="head")(INPUTS), expected(INPUTS))


def test_a_wrapper_whose_copy_is_not_used_is_left_as_it_is() -> None:
    """The model then computes with the original module."""
    model = Model()
    model.head = Saved(model.head, "default")
    model.head.disable_adapters = True
    assert submodule(model, "head") is model.head


def test_an_adapter_around_a_layer_is_named() -> None:
    model = Model()
    model.head[2] = Adapted(model.head[2])
    with refused(
        r"module 2 \(Adapted\) is an adapter, such as LoRA's, around a layer, its base_layer; .*"
        r" peft's unload\(\) or merge_and_unload\(\)"
    ):
        low_rank(model, loss_of(model), at="head")


def test_the_path_inside_a_wrapper_is_told() -> None:
    outer = Outer(Model())
    with refused("the model has no part 'head'; did you mean 'base_model.model.head'?"):
        low_rank(outer, loss_of(outer), at="head")
    low_rank(outer, loss_of(outer), at="base_model.model.head")


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(nn.Linear(14, 14))


class Keeping(nn.Module):
    """Keeps its last output, as attention maps are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(14, 14)

    def forward(self, inputs: Tensor) -> Tensor:
        self.output = self.layer(inputs)
        return self.output


@pytest.mark.parametrize("kind", [old_weight_norm, Keeping])
def test_a_model_that_cannot_be_copied_can_be_changed_in_place(kind: Any) -> None:
    model = Model(kind())
    with refused("^Model cannot be copied, because it keeps a computed tensor.*inplace=True$"):
        low_rank(model, loss_of(model), at="head")
    low_rank(model, loss_of(model), at="head", inplace=True)
    assert model.head.input_factor.weight.shape == (6, 14)
