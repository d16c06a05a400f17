"""What peft and Opacus put around layers is found, or named, in their own models."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import low_rank, merge
from stacks import mlp

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the packages' own warnings
INPUTS, LABELS = (
    torch.randn(60, 14, generator=torch.Generator().manual_seed(2)),
    torch.arange(60) % 3,
)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Linear(14, 14), mlp(14, 12, 12, 3, dtype=torch.float32)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


def loss_of(model: nn.Module) -> Any:
    return lambda: functional.cross_entropy(model(INPUTS), LABELS)


def adapted(**options: Any) -> Any:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    return peft.get_peft_model(Model(), peft.LoraConfig(r=2, **options))


def test_a_head_that_peft_saves_is_replaced_in_its_wrapper(tmp_path: Any) -> None:
    model = adapted(target_modules=["features"], modules_to_save=["head"])
    with refused("the model has no part 'classifier'; its parts are base_model"):
        low_rank(model, loss_of(model), at="classifier")
    small = low_rank(model, loss_of(model), at="base_model.model.head")
    assert small(INPUTS).shape == (60, 3)
    small.save_pretrained(tmp_path)
    saved = (tmp_path / "adapter_model.safetensors").read_bytes()
    assert b"head.input_factor.weight" in saved
    merged = merge(small, at="base_model.model.head")
    torch.testing.assert_close(merged(INPUTS), small(INPUTS))


def test_adapters_of_peft_are_named() -> None:
    model = adapted(target_modules=["head.2"])
    with refused(r"module 2 \(Linear\) is an adapter, such as LoRA's, around a layer"):
        low_rank(model, loss_of(model), at="base_model.model.head")
    without = model.merge_and_unload().requires_grad_(True)
    low_rank(without, loss_of(without), at="head")


def test_hooks_of_opacus_are_named() -> None:
    opacus = pytest.importorskip("opacus", reason="Opacus is not installed")
    model = opacus.GradSampleModule(Model())
    with refused("module 0 has a hook, which would be lost where layers are replaced"):
        low_rank(model, loss_of(model), at="head")
    model.remove_hooks()
    low_rank(model.to_standard_module(), loss_of(model), at="head")
