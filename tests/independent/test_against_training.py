"""Whole small trainings against gradient descent in numpy, step by step.

The package draws the data and the start; everything after that is computed twice.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Key, MakeJob, measured
from independent import formulas
from independent.cases import assert_agree, assert_same_span, in_order, of_trial, orthonormal
from independent.formulas import ACTIVATIONS, OBJECTIVES, LowRank, Matrix
from lowrank_dynamics.models.networks import LowRankMLP
from lowrank_dynamics.training.build import Setup, setup_of
from lowrank_dynamics.training.observables.gradient_spectrum import GradientSpectrum
from lowrank_dynamics.training.observables.observer import Iterate

TRIALS, STEPS, K, P, EPS, ETA = range(2), 20, 3, 6, 0.5, 0.05
TWO_LAYERS: dict[str, Any] = {
    "trials": TRIALS,
    "network__depth": 2,
    "network__eps": EPS,
    "network__train_last_layer": False,
    "training__learning_rate": ETA,
    "observe": {
        "loss": 1,
        "singular_structure": None,
        "block_shares": 1,
        "gradient": 1,
        "start_eps": [],
    },
}
FOUR_LAYERS: dict[str, Any] = {
    "trials": TRIALS,
    "network__depth": 4,
    "network__eps": EPS,
    "training__learning_rate": ETA,
    "observe": {**TWO_LAYERS["observe"], "gradient": None},
}
UNWHITENED = {"data__whitened": False, "training__objective": "cross_entropy"}

Rows = dict[Key, Any]


def data_of(setup: Setup, trial: int) -> tuple[Matrix, Matrix]:
    """Return X and Y of one trial; Y from the labels."""
    labels = setup.data.train.labels[trial].numpy()
    return setup.data.train.inputs[trial].numpy(), np.eye(K)[labels].T


@pytest.mark.parametrize("eps", [0.01, EPS])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_two_layers_in_the_theory_setting(job: MakeJob, name: str, eps: float) -> None:
    """Losses, block shares, and what theorem 3.5 says of the update of each block."""
    training = job(name, **{**TWO_LAYERS, "network__eps": eps})
    rows, setup = measured(training), setup_of(training)
    for trial in TRIALS:
        inputs, targets = data_of(setup, trial)
        start, last = of_trial(setup.mlp.weights, trial)
        signal = np.linalg.svd(last.T @ targets @ inputs.T, compute_uv=False)
        assert_agree(rows[0, "signal_singular_value", 1, trial], signal[:K])
        phi = ACTIVATIONS[name]
        initial = formulas.two_layer_gradient(start, last, phi, inputs, targets)
        small = formulas.s_small(start, initial, K, eps)
        (layer,) = formulas.layers([start], small, eps)
        first = start
        for step in range(STEPS + 1):
            outputs = formulas.mlp([first, last], phi, inputs)
            gradient = formulas.two_layer_gradient(first, last, phi, inputs, targets)
            following = first - ETA * gradient
            expected = of_gradient(gradient, initial)
            updates = formulas.block_norms(following - first, layer)
            expected["block_update"] = updates / math.sqrt(P)
            if step > 0:
                expected["block_share"] = formulas.block_shares(first - start, layer)
            for quantity, value in expected.items():
                assert_agree(rows[step, quantity, 1, trial], value, (step, quantity))
            assert_outputs(rows, step, trial, outputs, targets, "squared_error")
            first = following


def of_gradient(gradient: Matrix, initial: Matrix) -> dict[str, Any]:
    """Return what is measured of G_1(t), by its name; `initial` is G_1(0)."""
    return {
        "gradient_norm": np.linalg.norm(gradient),
        "gradient_singular_value": np.linalg.svd(gradient, compute_uv=False)[: K + 1],
        "gradient_rotation": formulas.rotation_of_gradient(gradient, initial, K),
        "update_bound": ETA * formulas.rho(gradient, initial, K),
    }


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_bound_counts_the_side_that_has_turned_further(job: MakeJob, side: str) -> None:
    """In training it is nearly always the left one; here either is turned alone, by a rotation."""
    setup = setup_of(job("elu", **TWO_LAYERS))
    initial = setup.initial_gradient.numpy()
    observer = GradientSpectrum(1, initial_gradient=setup.initial_gradient, bases=setup.bases)
    size = initial.shape[-2] if side == "left" else initial.shape[-1]
    turn = orthonormal(np.random.default_rng(0), size, size)
    turned = turn @ initial if side == "left" else initial @ turn
    iterate = Iterate(
        step=1,
        network=setup.network,
        batch=setup.data.train,
        outputs=setup.mlp(setup.data.train.inputs).detach(),
        losses=torch.empty(0),
        gradients=[torch.from_numpy(turned)],
        eta=ETA,
        running=torch.ones(len(initial), dtype=torch.bool),
    )
    rows = {row.quantity: row.values for row in observer.measure(iterate)}
    for trial in TRIALS:
        for quantity, value in of_gradient(turned[trial], initial[trial]).items():
            assert_agree(rows[quantity][trial], value, quantity)


@pytest.mark.parametrize("setting", [{}, UNWHITENED], ids=["whitened", "cross-entropy"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_four_layers(job: MakeJob, name: str, setting: dict[str, Any]) -> None:
    training = job(name, **FOUR_LAYERS, **setting)
    rows, setup = measured(training), setup_of(training)
    phi = ACTIVATIONS[name]
    objective = training.cell_settings.training.objective
    for trial in TRIALS:
        inputs, targets = data_of(setup, trial)
        start = of_trial(setup.mlp.weights, trial)
        weights, layers = start, None
        for step in range(STEPS + 1):
            outputs = formulas.mlp(weights, phi, inputs)
            pull = OBJECTIVES[objective].gradient(outputs, targets)
            gradients = formulas.mlp_gradients(weights, phi, inputs, pull)
            assert_outputs(rows, step, trial, outputs, targets, objective)
            if layers is None:
                small = formulas.s_small(start[0], gradients[0], K, EPS)
                layers = formulas.layers(start[:-1], small, EPS)
            else:
                assert_shares(rows, step, trial, weights, start, layers)
            weights = formulas.descent_step(weights, gradients, ETA)


def assert_outputs(
    rows: Rows, step: int, trial: int, outputs: Matrix, targets: Matrix, objective: str
) -> None:
    """Compare loss and accuracy at a step."""
    loss = OBJECTIVES[objective].value(outputs, targets)
    accuracy = formulas.accuracy(outputs, targets)
    assert_agree(rows[step, "train_loss", 0, trial], loss, step)
    assert_agree(rows[step, "train_accuracy", 0, trial], accuracy, step)


def assert_shares(
    rows: Rows,
    step: int,
    trial: int,
    weights: list[Matrix],
    start: list[Matrix],
    layers: list[formulas.Layer],
) -> None:
    """Compare the block shares of each hidden layer at a step."""
    for number, layer in enumerate(layers):
        shares = formulas.block_shares(weights[number] - start[number], layer)
        assert_agree(rows[step, "block_share", number + 1, trial], shares, (step, number + 1))


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_low_rank_mlp_that_starts_in_s_big(job: MakeJob, name: str, depth: int) -> None:
    """It starts where section 5 says, and is trained with a cosine schedule."""
    settings = {**FOUR_LAYERS, "network__depth": depth, "training__schedule": "cosine"}
    training = job(name, "s_big", **settings)
    rows, setup = measured(training), setup_of(training)
    phi = ACTIVATIONS[name]
    assert isinstance(setup.network, LowRankMLP)
    for trial in TRIALS:
        inputs, targets = data_of(setup, trial)
        v, *cores, u, last = of_trial(in_order(setup.network), trial)
        network = LowRank(v, cores, u, last)
        assert_start(network, of_trial(setup.mlp.weights, trial), phi, inputs, targets)
        for step in range(STEPS + 1):
            outputs = formulas.low_rank_mlp(network, phi, inputs)
            assert_outputs(rows, step, trial, outputs, targets, "squared_error")
            pull = formulas.residual(outputs, targets)
            gradients = formulas.low_rank_gradients(network, phi, inputs, pull)
            eta = formulas.cosine_rate(ETA, step, STEPS)
            v, *cores, u, last = formulas.descent_step(network.matrices, gradients.matrices, eta)
            network = LowRank(v, cores, u, last)


def assert_start(
    network: LowRank, full: list[Matrix], phi: formulas.Activation, inputs: Matrix, targets: Matrix
) -> None:
    """Check that V~(0) is an orthonormal basis of S_big, U~(0) = W_{L-1}(0) .. W_1(0) V~(0) /
    eps^{L-1}, and W~_l(0) are orthogonal, of size eps.
    """
    pull = formulas.residual(formulas.mlp(full, phi, inputs), targets)
    gradient = formulas.mlp_gradients(full, phi, inputs, pull)[0]
    assert_same_span(network.v, formulas.s_big(full[0], gradient, K, EPS))
    assert_agree(network.v.T @ network.v, np.eye(2 * K))
    image = network.v
    for weight in full[:-1]:
        image = weight @ image / EPS
    assert_agree(network.u, image)
    for core in network.cores:
        assert_agree(core.T @ core, EPS**2 * np.eye(2 * K))
    assert_agree(network.last, full[-1])
