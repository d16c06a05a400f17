"""For those who train the result, or other models at the same time: optimizers, frozen weights,
checkpointing, threads, losses with softmax.
"""

import threading
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from conftest import refused
from lowrank_dynamics import Watch, low_rank, merge, subspace_report
from stacks import batch, loss_of, mlp


def model_with_head() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(14, dtype=torch.float64), mlp(14, 12, 12, 3))


def test_an_optimizer_of_replaced_weights_is_warned_of() -> None:
    model = model_with_head()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    low_rank(model, loss_of(model), at="1")
    with pytest.warns(UserWarning, match=r"an optimizer \(SGD\) has weights .* after low_rank"):
        low_rank(model, loss_of(model), at="1", inplace=True)
    assert optimizer.param_groups


def test_an_optimizer_of_other_weights_is_not() -> None:
    model, other = model_with_head(), mlp(14, 12, 12, 3)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model[0], other)]
    low_rank(model, loss_of(model), at="1", inplace=True)
    assert optimizers


def frozen_names(model: nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if not weight.requires_grad}


def double_prelu() -> nn.PReLU:
    return nn.PReLU(dtype=torch.float64)


FROZEN = [
    (["2.weight", "2.bias"], {"core_2.weight", "core_2.bias"}),
    (["2.weight"], {"core_2.weight"}),
    (["0.bias", "2.bias"], {"core_1.bias", "core_2.bias"}),
    (["4.weight", "4.bias"], {"core_3.weight", "output_factor.bias"}),
    (["6.bias"], {"last.bias"}),
    (["1.weight"], {"activation_1_0.weight"}),
]


@pytest.mark.parametrize(("frozen", "expected"), FROZEN, ids=lambda each: " ".join(sorted(each)))
def test_weights_and_biases_stay_frozen_if_asked(frozen: list[str], expected: set[str]) -> None:
    """Each on its own, where it is represented; PReLU and normalization as they are."""
    model = mlp(14, 12, 12, 12, 3, activation=double_prelu)
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    assert frozen_names(low_rank(model, loss_of(model), keep_frozen=True)) == expected
    assert not frozen_names(low_rank(model, loss_of(model)))


def test_products_of_frozen_factors_are_frozen() -> None:
    model = mlp(14, 12, 12, 3)
    small = low_rank(model, loss_of(model))
    assert not frozen_names(merge(small))
    assert len(frozen_names(merge(small.requires_grad_(False)))) == 6
    small.core_1.requires_grad_(True)
    assert frozen_names(merge(small)) == {
        "layer_2.weight",
        "layer_2.bias",
        "layer_3.weight",
        "layer_3.bias",
    }


class Checkpointed(nn.Module):
    def __init__(self, place: str) -> None:
        super().__init__()
        self.place, self.head = place, mlp(14, 12, 12, 3)
        self.scale = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.place == "head":
            return checkpoint(self.head, inputs, use_reentrant=True)
        return checkpoint(self.scale, self.head(inputs), use_reentrant=True)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("place", ["head", "after"])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_reentrant_checkpointing_is_named(place: str, requires_grad: bool) -> None:
    model = Checkpointed(place)
    inputs = batch(model.head)[0].requires_grad_(requires_grad)
    with refused("reentrant checkpointing, which use_reentrant=False replaces"):
        low_rank(model, lambda: model(inputs).square().sum(), at="head")


@pytest.mark.parametrize("use", [low_rank, subspace_report, Watch])
def test_modules_in_other_threads_are_left_alone(use: Any) -> None:
    """They may be called while the loss is, and are not rolled back."""
    model, other = mlp(14, 12, 12, 3), nn.BatchNorm1d(14)
    inside, trained = threading.Event(), threading.Event()
    value = loss_of(model)

    def loss() -> Tensor:
        inside.set()
        assert trained.wait(20)
        return value()

    def train() -> None:
        assert inside.wait(20)
        other(torch.ones(5, 14))
        trained.set()

    thread = threading.Thread(target=train)
    thread.start()
    use(model, loss)
    thread.join()
    assert int(other.num_batches_tracked) == 1


def test_a_model_in_another_thread_may_be_called_while_one_is_traced() -> None:
    inside, called = threading.Event(), threading.Event()
    outputs: list[Tensor] = []

    class Waiting(nn.Sequential):
        def forward(self, inputs: Tensor) -> Tensor:
            inside.set()
            assert called.wait(20)
            return super().forward(inputs)

    model, other = Waiting(*mlp(14, 12, 12, 3)), mlp(14, 12, 3)

    def call() -> None:
        assert inside.wait(20)
        outputs.append(other(torch.ones(5, 14, dtype=torch.float64)))
        called.set()

    thread = threading.Thread(target=call)
    thread.start()
    low_rank(model, lambda: model(torch.eye(14, dtype=torch.float64)).square().sum())
    thread.join()
    assert outputs[0].shape == (5, 3)


@pytest.mark.parametrize("use", [low_rank, subspace_report, Watch])
def test_buffers_of_the_model_are_kept_however_the_loss_calls_it(use: Any) -> None:
    """Here by an object, so that the loss does not name the model."""
    model = model_with_head()
    inputs, labels = batch(model[1])
    holder = {"model": model}
    use(model, lambda: functional.cross_entropy(holder["model"](inputs), labels), at="1")
    assert int(model[0].num_batches_tracked) == 0


def softmax_loss(model: nn.Sequential, classes: int = 2) -> Any:
    inputs, _ = batch(model, 200)
    labels = torch.arange(200) % classes
    return lambda: functional.cross_entropy(model(inputs), labels)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_cross_entropy_is_reported_at_rank_k_minus_1(classes: int) -> None:
    """sigma_K is of the order of eps, as sigma_{K+1} is for other losses."""
    reports = []
    for eps in (1e-3, 1e-4):
        model = mlp(14, 20, classes, bias=False)
        generator = torch.Generator().manual_seed(0)
        nn.init.orthogonal_(model[0].weight, eps, generator=generator)
        reports.append(subspace_report(model, softmax_loss(model, classes)))
    one, tenth = reports
    assert one.balanced
    assert one.gradient_rank == classes - 1
    assert one.tail == pytest.approx(10 * tenth.tail, rel=0.05)
    values = tenth.singular_values
    assert tenth.tail == values[classes - 1] / values[classes - 2]
    further = values[classes] / values[classes - 1]
    assert "cross-entropy with softmax" in str(tenth)
    assert f"the K-th direction is of the tail (sigma_{{K+1}} / sigma_K = {further:.2g})" in str(
        tenth
    )


def test_other_losses_are_reported_at_rank_k() -> None:
    model = mlp(14, 20, 3)
    report = subspace_report(model, loss_of(model))
    assert (report.balanced, report.gradient_rank) == (False, 3)
    assert "softmax" not in str(report)


def test_one_logit_for_two_classes_has_its_own_rank() -> None:
    model = mlp(14, 20, 1)
    inputs, _ = batch(model, 200)
    labels = (torch.arange(200) % 2).double()
    report = subspace_report(
        model,
        lambda: functional.binary_cross_entropy_with_logits(model(inputs).squeeze(1), labels),
    )
    assert (report.balanced, report.gradient_rank) == (False, 1)


@pytest.mark.parametrize("use", [low_rank, Watch])
def test_a_linear_network_with_softmax_is_told_the_way_out(use: Any) -> None:
    """More samples are none."""
    model = mlp(14, 12, 2, activation=nn.Identity)
    with refused("rank K - 1 = 1, .* whatever the batch, .* binary_cross_entropy_with_logits$"):
        use(model, softmax_loss(model))


def test_too_few_samples_are_still_told() -> None:
    model = mlp(14, 12, 4, activation=nn.Identity)
    inputs, labels = batch(model, 2)
    with (
        warnings.catch_warnings(action="ignore"),
        refused("rank below K = 4, only [12], .* take a batch with more samples"),
    ):
        low_rank(model, lambda: functional.cross_entropy(model(inputs), labels))
