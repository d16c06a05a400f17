"""Optimizers and minibatches: the same as torch's own on one trial, and no trial knows of
another.
"""

from itertools import islice

import pytest
import torch
from torch import nn
from torch.nn import functional

from conftest import MINIBATCH, NAME, MakeJob, measured, refused
from lowrank_dynamics.config.registries import OPTIMIZERS, Optimizer
from lowrank_dynamics.data.batches import batches
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.training.build import setup_of
from lowrank_dynamics.training.loop import train
from lowrank_dynamics.training.losses import cross_entropy
from lowrank_dynamics.training.optimizer import StackedOptimizer
from lowrank_dynamics.training.randomness import trial_generator

TORCH = {
    "sgd_momentum": lambda weights, rate: torch.optim.SGD(weights, lr=rate, momentum=0.9),
    "adam": lambda weights, rate: torch.optim.Adam(weights, lr=rate),
    "muon": lambda weights, rate: torch.optim.Muon(weights, lr=rate, weight_decay=0.0),
}


@pytest.mark.parametrize("optimizer", TORCH)
def test_against_torch_on_one_unstacked_trial(job: MakeJob, optimizer: str) -> None:
    """Trial 1 of a stack of three ends where a plain loop over plain matrices ends, to rounding."""
    setup = setup_of(job(**MINIBATCH, training__optimizer=optimizer))
    plain = [nn.Parameter(weight[1].detach().clone()) for weight in setup.mlp.weights]
    list(train(setup, []))

    torch_optimizer = TORCH[optimizer](plain, 0.01)
    order = trial_generator(1, NAME, "batches", 1)
    inputs, labels = setup.data.train.inputs[1], setup.data.train.labels[1]
    chosen = [batch for _ in range(10) for batch in torch.randperm(48, generator=order).split(20)]
    for batch in chosen[:20]:
        torch_optimizer.zero_grad()
        features = inputs[:, batch]
        for weight in plain[:-1]:
            features = functional.elu(weight @ features)
        functional.cross_entropy((plain[-1] @ features).T, labels[batch]).backward()
        torch_optimizer.step()
    tolerance = (
        1e-3 if optimizer == "muon" else 1e-12
    )  # Muon rounds to bfloat16, which may tip either way
    for ours, theirs in zip(setup.mlp.weights, plain, strict=True):
        torch.testing.assert_close(
            ours[1].detach(), theirs.detach(), atol=tolerance, rtol=tolerance
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_memory_layout_of_a_gradient_changes_no_step(name: str) -> None:
    """Autograd lays out a gradient as it computes it, for instance as the transpose of a
    product.
    """
    start = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradient = start.cos()
    ends = []
    for given in (gradient, gradient.mT.contiguous().mT):
        for weight in (nn.Parameter(start.clone()), nn.Parameter(start.mT.contiguous().mT)):
            optimizer = StackedOptimizer(name, [weight], 0.0)
            for _ in range(3):
                optimizer.step([given.cos()], 0.1)
                optimizer.step([given], 0.1)
            ends.append(weight.detach())
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], atol=1e-2 if name == "muon" else 1e-14, rtol=0)


def test_an_optimizer_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZERS, "lbfgs", Optimizer("torch.optim:LBFGS", "L-BFGS"))
    with refused(r"torch\.optim:LBFGS cannot be used: it must take lr and weight_decay"):
        StackedOptimizer("lbfgs", [nn.Parameter(torch.ones(1, 2, 2))], 0.0)


def test_every_epoch_takes_each_sample_once_in_each_trials_own_order() -> None:
    data = Split(torch.arange(7.0).repeat(2, 1), torch.arange(7) % 3, classes=3)
    generators = [torch.Generator().manual_seed(trial) for trial in range(2)]
    epochs = list(islice(batches(data, 3, generators), 6))
    assert [batch.inputs.shape for batch in epochs] == [(2, 2, size) for size in (3, 3, 1, 3, 3, 1)]
    orders = [
        torch.cat([batch.inputs[:, 0] for batch in epochs[start : start + 3]], dim=-1)
        for start in (0, 3)
    ]
    for order in (*orders[0], *orders[1]):
        assert order.sort().values.tolist() == list(range(7))
    assert len({tuple(order.tolist()) for epoch in orders for order in epoch}) == 4
    for batch in epochs:
        assert torch.equal(batch.labels, batch.inputs[:, 0].long() % 3)
        assert torch.equal(batch.targets.argmax(dim=-2), batch.labels)


def test_without_a_size_every_step_takes_the_data_themselves() -> None:
    data = Split(torch.ones(2, 5), torch.zeros(5, dtype=torch.long), classes=3)
    assert all(batch is data for batch in islice(batches(data, None, []), 3))


def test_minibatch_losses_are_measured_on_all_training_data(job: MakeJob) -> None:
    """At the start, so, they are those of full batches."""
    adam = {**MINIBATCH, "training__optimizer": "adam"}
    small, whole = (measured(job(**{**adam, "training__batch_size": size})) for size in (20, None))
    for trial in range(3):
        assert small[0, "train_loss", 0, trial] == pytest.approx(
            whole[0, "train_loss", 0, trial], rel=1e-14
        )
        assert small[20, "train_loss", 0, trial] != whole[20, "train_loss", 0, trial]


def test_cross_entropy_is_torchs_and_ln_k_without_outputs() -> None:
    outputs = torch.randn(2, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(9) % 4
    targets = functional.one_hot(labels, 4).mT.double()
    expected = torch.stack([functional.cross_entropy(trial.mT, labels) for trial in outputs])
    torch.testing.assert_close(cross_entropy(outputs, targets), expected)
    zero = cross_entropy(torch.zeros_like(outputs), targets)
    torch.testing.assert_close(zero, torch.full_like(zero, 4.0).log())
