"""For those who write their own forward: what depends on the mode follows that of the result,
arguments have their defaults, and what cannot be traced is told with its line.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import refused
from lowrank_dynamics import low_rank, low_rank_like, merge
from lowrank_dynamics.models.chain import chain_of, is_elementwise
from stacks import batch, loss_of, mlp

Between = Callable[[nn.Module, Tensor], Tensor]


class Written(nn.Module):
    """An MLP of three layers with a function of its own after each hidden one."""

    def __init__(self, between: Between) -> None:
        super().__init__()
        self.one, _, self.two, _, self.three = mlp(14, 12, 12, 3)
        self.between = between

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.between(self, torch.tanh(self.one(inputs)))
        hidden = self.between(self, torch.tanh(self.two(hidden)))
        return self.three(hidden)


def noisy_if_training(model: nn.Module, inputs: Tensor) -> Tensor:
    return inputs + torch.randn_like(inputs) if model.training else inputs


def branched_by_mode(model: nn.Module, inputs: Tensor) -> Tensor:
    return inputs * torch.sigmoid(torch.dropout(inputs, 0.5, model.training))


RANDOM_IN_TRAINING: dict[str, Between] = {
    "dropout": lambda model, inputs: functional.dropout(inputs, 0.5, model.training),
    "dropout of torch": lambda model, inputs: torch.dropout(inputs, 0.5, model.training),
    "alpha": lambda model, inputs: functional.alpha_dropout(inputs, 0.5, model.training),
    "feature": lambda model, inputs: functional.feature_alpha_dropout(inputs, 0.5, model.training),
    "rrelu": lambda model, inputs: functional.rrelu(inputs, training=model.training),
    "rrelu of torch": lambda model, inputs: torch.rrelu(inputs, 0.1, 0.3, model.training),
    "one way": lambda model, inputs: functional.dropout(inputs) if model.training else inputs,
    "own noise": noisy_if_training,
    "not in a row": branched_by_mode,
}


def is_random(model: nn.Module, inputs: Tensor) -> bool:
    return not torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize("between", RANDOM_IN_TRAINING.values(), ids=RANDOM_IN_TRAINING)
@pytest.mark.parametrize("training", [True, False])
def test_what_is_random_in_training_is_so_in_the_result(between: Between, training: bool) -> None:
    """Whatever mode the model was in, also after factors are merged and after a change of mode."""
    model = Written(between).train(training)
    inputs, _ = batch(model)
    small = low_rank(model, loss_of(model))
    assert small.training == model.training == training
    for network in (small, merge(small)):
        assert is_random(network.train(), inputs)
        assert not is_random(network.eval(), inputs)


def test_in_evaluation_the_result_computes_what_the_model_does() -> None:
    """At r = d, where the functions are linear: those of the other mode would change it."""

    class Linear(Written):
        def forward(self, inputs: Tensor) -> Tensor:
            return self.three(self.between(self, self.two(self.between(self, self.one(inputs)))))

    def scaled(model: nn.Module, inputs: Tensor) -> Tensor:
        return 3 * inputs if model.training else inputs

    model = Linear(scaled)
    for layer in (model.one, model.two, model.three):
        nn.init.zeros_(layer.bias)
    small, (inputs, _) = low_rank(model, loss_of(model), 12), batch(model)
    inside = inputs @ small.input_factor.weight.mT @ small.input_factor.weight
    for training in (True, False):
        torch.testing.assert_close(small.train(training)(inputs), model.train(training)(inside))


class Swish(nn.Module):
    def forward(self, inputs: Tensor, beta: float = 1.0) -> Tensor:
        return inputs * torch.sigmoid(beta * inputs)


CALLS: dict[str, Between] = {
    "position": lambda model, inputs: model.swish(inputs, 5.0),
    "keyword": lambda model, inputs: model.swish(inputs, beta=5.0),
    "all keywords": lambda model, inputs: model.swish(inputs=inputs, beta=5.0),
    "by mode": lambda model, inputs: model.swish(inputs, 5.0 if model.training else 1.0),
    "none": lambda model, inputs: model.swish(inputs),
}


@pytest.mark.parametrize("between", CALLS.values(), ids=CALLS)
def test_a_module_keeps_the_arguments_that_it_is_called_with(between: Between) -> None:
    model = Written(between)
    model.swish = Swish()
    inputs, _ = batch(model)
    merged, small = merge(model), low_rank(model, loss_of(model))
    activation = nn.Sequential(*chain_of(small).after[1])
    for training in (True, False):
        model.train(training)
        torch.testing.assert_close(merged.train(training)(inputs), model(inputs))
        expected = between(model, torch.tanh(inputs))
        torch.testing.assert_close(activation.train(training)(inputs), expected)


def test_dropout_that_is_always_on_stays_on() -> None:
    model = Written(lambda _, inputs: functional.dropout(inputs)).eval()
    inputs, _ = batch(model)
    assert is_random(model, inputs)
    assert is_random(low_rank(model, loss_of(model)), inputs)


@pytest.mark.parametrize(
    ("between", "kind"),
    [
        (RANDOM_IN_TRAINING["alpha"], nn.AlphaDropout),
        (RANDOM_IN_TRAINING["feature"], nn.FeatureAlphaDropout),
        (lambda model, x: functional.rrelu(x, 0.2, 0.4, model.training), nn.RReLU),
    ],
)
def test_functions_of_the_mode_become_modules(between: Between, kind: type[nn.Module]) -> None:
    tanh, module = chain_of(Written(between)).after[0]
    assert isinstance(tanh, nn.Tanh)
    assert isinstance(module, kind)
    assert not isinstance(module, nn.RReLU) or (module.lower, module.upper) == (0.2, 0.4)


def test_tracing_leaves_every_module_in_its_mode() -> None:
    model = Written(RANDOM_IN_TRAINING["dropout"])
    model.two.eval()
    modes = [module.training for module in model.modules()]
    chain_of(model)
    assert [module.training for module in model.modules()] == modes


class Frozen(nn.Module):
    """An MLP of which everything but the whole is frozen in evaluation."""

    def __init__(self, between: Between) -> None:
        super().__init__()
        self.normalized = nn.BatchNorm1d(14, dtype=torch.float64)
        self.layers = Written(between)
        self.dropout = nn.Dropout()
        self.normalized(2 * batch(self.layers)[0] + 1)
        for module in self.children():
            module.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.dropout(self.layers(self.normalized(inputs)))


@pytest.mark.parametrize("between", RANDOM_IN_TRAINING.values(), ids=RANDOM_IN_TRAINING)
def test_what_is_frozen_in_evaluation_stays_so_in_a_training_model(between: Between) -> None:
    model = Frozen(between)
    inputs, _ = batch(model)
    merged, small = merge(model), low_rank(model, loss_of(model))
    torch.testing.assert_close(merged(inputs), model(inputs))
    assert not is_random(small, inputs)
    for network in (merged, small, low_rank_like(model)):
        assert network.training
        for module in network.children():
            assert module.training == isinstance(module, nn.Linear)
        assert is_random(network.train(), inputs)


class OtherLayers(Written):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.one(inputs))
        return self.three(hidden if self.training else torch.tanh(self.two(hidden)))


class ExtraOutput(Written):
    def forward(self, inputs: Tensor) -> Any:
        hidden = torch.tanh(self.one(inputs))
        return (self.three(hidden), hidden) if self.training else self.three(hidden)


def mean_in_training(model: nn.Module, inputs: Tensor) -> Tensor:
    return inputs - inputs.mean(dim=1, keepdim=True) if model.training else inputs


class MeanInTraining(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs - inputs.mean(dim=1, keepdim=True) if self.training else inputs


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (OtherLayers(torch.relu), "OtherLayers has other layers in training than in evaluation"),
        (ExtraOutput(torch.relu).eval(), "^in training, the model returns a tuple"),
        (
            Written(mean_in_training).eval(),
            "^tanh, mean, sub or tanh after layer 1 does not act on each",
        ),
    ],
    ids=["layers", "output", "mean"],
)
def test_what_is_no_chain_in_one_mode_is_refused(model: nn.Module, said: str) -> None:
    with refused(said):
        chain_of(model)


@pytest.mark.parametrize("module", [nn.RReLU(), nn.Dropout(), nn.AlphaDropout(), nn.PReLU()])
def test_random_modules_act_on_each_entry(module: nn.Module) -> None:
    assert is_elementwise(module, torch.zeros(12, 14))


@pytest.mark.parametrize("module", [MeanInTraining(), nn.Softmax(dim=1)])
def test_modules_that_join_entries_do_not(module: nn.Module) -> None:
    assert not is_elementwise(module, torch.zeros(12, 14))


class Defaults(Written):
    """As classifiers of timm and of torchvision take arguments."""

    def forward(
        self, inputs: Tensor, pre_logits: bool = False, mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        hidden = torch.tanh(self.two(torch.tanh(self.one(inputs))))
        if mask is not None:
            hidden = mask * hidden
        return hidden if pre_logits else self.three(hidden)


def test_arguments_have_their_defaults() -> None:
    model, written = Defaults(torch.relu), Written(lambda _, inputs: inputs)
    one, other = (low_rank(network, loss_of(network)) for network in (model, written))
    inputs, _ = batch(model)
    assert torch.equal(one(inputs), other(inputs))


class ByShape(Written):
    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() > 2 and inputs.shape[1] > 3:
            inputs = inputs.flatten(1)
        return super().forward(inputs)


class ByShapeAndValue(Written):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs if inputs.sum() > inputs.shape[0] else -inputs)


class TwoInputs(Written):
    def forward(self, inputs: Tensor, others: Tensor) -> Tensor:
        return super().forward(inputs + others)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            ByShape(torch.relu),
            r"line \d+ of test_traced_modes.py\); it must not branch on the shape",
        ),
        (ByShapeAndValue(torch.relu), r"of test_traced_modes.py\); it must not branch on values"),
        (
            TwoInputs(lambda _, inputs: inputs),
            "^add joins inputs and others: a residual connection or a second",
        ),
        (
            Written(lambda _, inputs: inputs * len(inputs)),
            r"\('len' is not supported .*exactly one",
        ),
        (nn.Linear(14, 3), "^an MLP needs at least two Linear layers, and Linear has 1$"),
    ],
    ids=["shape", "value", "inputs", "len", "layer"],
)
def test_what_cannot_be_traced_is_told(model: nn.Module, said: str) -> None:
    with refused(said):
        chain_of(model)
