"""The public functions for models of your own against the formulas: on bias-free MLPs as PyTorch
makes them.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from torch import nn

from independent import formulas
from independent.cases import assert_agree, assert_same_span
from independent.formulas import ACTIVATIONS, LowRank, Matrix
from lowrank_dynamics import low_rank, merge, subspace_report
from stacks import batch, loss_of, mlp

MODULES = {"elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "relu": nn.ReLU}
WIDTHS = [(14, 20, 3), (14, 20, 16, 3), (11, 12, 13, 14, 2)]


def weights_of(model: nn.Module) -> list[Matrix]:
    """Return the weights of the linear layers of a model, in order."""
    weights = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weights.append(module.weight.detach().numpy())
    return weights


def data_of(model: nn.Sequential, classes: int) -> tuple[Matrix, Matrix]:
    """Return X and Y of the batch of its loss."""
    inputs, labels = batch(model)
    return inputs.numpy().T, np.eye(classes)[labels.numpy()].T


def first_gradient(model: nn.Sequential, name: str, classes: int) -> Matrix:
    phi, (inputs, targets) = ACTIVATIONS[name], data_of(model, classes)
    weights = weights_of(model)
    pull = formulas.residual(formulas.mlp(weights, phi, inputs), targets)
    return formulas.mlp_gradients(weights, phi, inputs, pull)[0]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_mlp_becomes_a_low_rank_one_in_s_big(name: str, widths: Sequence[int]) -> None:
    """V V' is the projector onto S_big, and U W~_{L-1} .. W~_1 V' = W_{L-1} .. W_1 V V'."""
    model = mlp(*widths, bias=False, activation=MODULES[name])
    weights, gradient = weights_of(model), first_gradient(model, name, widths[-1])
    small = low_rank(model, loss_of(model))
    v_t, *cores, u, last = weights_of(small)
    big = formulas.s_big(weights[0], gradient, widths[-1], eps=1.0)
    assert_same_span(v_t.T, big)
    assert_agree(v_t @ v_t.T, np.eye(2 * widths[-1]))
    assert_agree(u.T @ u, np.eye(2 * widths[-1]))
    assert_agree(np.linalg.multi_dot([u, *cores[::-1], v_t]), image(weights[:-1], big))
    assert_agree(last, weights[-1])


def image(weights: Sequence[Matrix], matrix: Matrix) -> Matrix:
    """Return W_{L-1} .. W_1 M."""
    for weight in weights:
        matrix = weight @ matrix
    return matrix


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_merged_mlp_has_the_products_of_the_factors(name: str, widths: Sequence[int]) -> None:
    """It computes equation 10; its matrices are W~_1 V', W~_2 .., U W~_{L-1} and W_L."""
    model = mlp(*widths, bias=False, activation=MODULES[name])
    small = low_rank(model, loss_of(model))
    v_t, *cores, u, last = weights_of(small)
    merged = merge(small)
    expected = [*cores, last]
    expected[0] = expected[0] @ v_t
    expected[-2] = u @ expected[-2]
    for found, weight in zip(weights_of(merged), expected, strict=True):
        assert_agree(found, weight)
    inputs, _ = batch(model)
    network = LowRank(v_t.T, cores, u, last)
    outputs = formulas.low_rank_mlp(network, ACTIVATIONS[name], inputs.numpy().T)
    assert_agree(small(inputs).mT, outputs)
    assert_agree(merged(inputs).mT, outputs)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_report_on_an_mlp(name: str, widths: Sequence[int]) -> None:
    classes = widths[-1]
    model = mlp(*widths, bias=False, activation=MODULES[name])
    weights, (inputs, _) = weights_of(model), data_of(model, classes)
    sigma = np.linalg.svd(first_gradient(model, name, classes), compute_uv=False)
    report = subspace_report(model, loss_of(model))
    assert_agree(report.singular_values, sigma)
    assert_agree(report.tail, sigma[classes] / sigma[classes - 1])
    assert_agree(report.beyond_rank, np.sum(sigma[classes:] ** 2) / np.sum(sigma**2))
    slopes = ACTIVATIONS[name].slope(weights[0] @ inputs)
    assert_agree(report.derivative_spread, formulas.derivative_spread(slopes))
    assert_agree(report.conditions, [np.linalg.cond(weight) for weight in weights[:-1]])
    assert_agree(report.spread_of_start, formulas.spread_of_start(weights[0]))
