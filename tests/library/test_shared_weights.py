"""For those whose models use a weight or a part more than once: it is replaced everywhere, or
refused.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import refused
from lowrank_dynamics import low_rank, merge
from lowrank_dynamics.models.chain import chain_of
from stacks import loss_of, mlp


class TwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = mlp(14, 12, 3)
        self.classifier = self.head

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(inputs)


@pytest.mark.parametrize("inplace", [True, False])
def test_a_part_with_two_names_is_replaced_at_both(inplace: bool) -> None:
    model = TwoNames()
    loss = loss_of(model.head)
    small = low_rank(model, loss, at="head", inplace=inplace)
    assert small.head is small.classifier
    assert "input_factor" in dict(small.classifier.named_children())
    assert (small is model) == inplace


class Tied(nn.Module):
    """Two heads with one layer in common."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = mlp(14, 12, 3), mlp(14, 12, 3, seed=1)
        self.other[0] = self.one[0]


class TiedOutside(nn.Module):
    """As a language model's last layer has the weight of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.one = mlp(14, 12, 3)
        self.embedding = nn.Embedding(3, 12, dtype=torch.float64)
        self.embedding.weight = self.one[2].weight


@pytest.mark.parametrize(
    ("model", "named"), [(Tied(), r"other\.0\.weight"), (TiedOutside(), r"embedding\.weight")]
)
def test_a_part_that_shares_a_weight_with_the_rest_is_refused(model: Any, named: str) -> None:
    message = f"{named} is also a weight of the part 'one', which would get one of its own"
    with refused(message):
        low_rank(model, loss_of(model.one), at="one")
    with refused(message):
        merge(model, at="one")


def same_bias(model: nn.Sequential) -> None:
    model[2].bias = model[0].bias


def transposed(model: nn.Sequential) -> None:
    model[2].weight = nn.Parameter(model[0].weight.t())


@pytest.mark.parametrize("tie", [same_bias, transposed])
def test_layers_that_share_values_are_refused(tie: Callable[[nn.Sequential], None]) -> None:
    model = mlp(14, 14, 14, 3)
    tie(model)
    with refused("is used twice, or shares a weight; each layer must have its own weights"):
        chain_of(model)


def test_a_slope_that_is_used_twice_is_refused() -> None:
    slope = nn.PReLU(dtype=torch.float64)
    one, _, two, _, three = mlp(14, 12, 12, 3)
    model = nn.Sequential(one, slope, two, slope, three)
    with refused("PReLU is used twice, or shares a weight; each place must have its own"):
        merge(model)


def test_a_wrapper_is_returned_if_its_model_is_changed_in_place() -> None:
    model = TwoNames()
    wrapper: Any = torch.compile(model, backend="eager")
    assert low_rank(wrapper, loss_of(model.head), at="head", inplace=True) is wrapper
