"""The theory made measurable: theorem 3.5 with its derived constant, the start against eps, rotated
factors.
"""

import inspect
import math
import pkgutil
from typing import Any

import numpy as np
import pytest
import torch

from conftest import MINIBATCH, MakeJob, measured
from lowrank_dynamics.config.registries import OBSERVABLES
from lowrank_dynamics.models.subspaces import blocks
from lowrank_dynamics.training.build import Setup, observers, setup_of
from lowrank_dynamics.training.loop import train
from lowrank_dynamics.training.losses import OBJECTIVES
from lowrank_dynamics.training.observables.observer import Observer

THEORY: dict[str, Any] = {
    "network__depth": 2,
    "network__train_last_layer": False,
    "training__learning_rate": 0.1,
    "training__steps": 40,
    "observe": {
        "loss": 1,
        "singular_structure": None,
        "block_shares": None,
        "gradient": 1,
        "start_eps": [],
    },
}


def with_observer(job: MakeJob, name: str) -> tuple[Setup, Observer]:
    """Return a job's setup, and the observer of this name, which measures a few times."""
    setting = [0.1, 0.01] if name == "start_eps" else 4
    observe = {**THEORY["observe"], "gradient": None, name: setting}
    setup = setup_of(job(**{**THEORY, "observe": observe}))
    *_, observer = observers(setup)
    return setup, observer


@pytest.mark.parametrize("name", OBSERVABLES)
def test_an_observer_takes_its_setting_and_what_its_entry_names(job: MakeJob, name: str) -> None:
    entry = OBSERVABLES[name]
    _, *parameters = inspect.signature(pkgutil.resolve_name(entry.target)).parameters
    assert sorted(parameters) == sorted(entry.given)
    setup = setup_of(job())
    assert [attribute for attribute in entry.given if not hasattr(setup, attribute)] == []


@pytest.mark.parametrize("name", OBSERVABLES)
def test_an_observer_is_due_where_it_measures(
    job: MakeJob, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step at which one is due waits for the device, so none may be due in vain."""
    setup, observer = with_observer(job, name)
    is_due, due = observer.is_due, set()

    def noting(step: int, *, last: bool) -> bool:
        answer = is_due(step, last=last)
        if answer:
            due.add(step)
        return answer

    monkeypatch.setattr(observer, "is_due", noting)
    measured_at = {row.step for row in train(setup, [observer]) if row.quantity != "last_step"}
    assert measured_at == due
    assert (due == {0}) == (name == "start_eps")


@pytest.mark.parametrize("name", OBSERVABLES)
def test_an_observer_measures_the_quantities_of_its_entry(job: MakeJob, name: str) -> None:
    """But for those of test samples, which clusters lack."""
    setup, observer = with_observer(job, name)
    measured = {row.quantity for row in train(setup, [observer])}
    expected = {quantity for quantity in OBSERVABLES[name].quantities if "test" not in quantity}
    assert measured == {"last_step", *expected}


@pytest.mark.parametrize("activation", ["elu", "gelu", "tanh", "relu"])
@pytest.mark.parametrize("eps", [0.3, 1e-3])
def test_every_update_is_within_the_bound(job: MakeJob, activation: str, eps: float) -> None:
    """At most sqrt(2) eta rho(t), whatever the activation: the constant follows from the
    definitions.
    """
    rows = measured(job(activation, **THEORY, network__eps=eps))
    bounds = {key: value for key, value in rows.items() if key[1] == "update_bound"}
    assert len(bounds) == 3 * 41
    for (step, _, layer, trial), bound in bounds.items():
        updates = rows[step, "block_update", layer, trial][1:]
        assert (updates <= math.sqrt(2) * bound * (1 + 1e-9)).all()
        assert bound > 0


def test_the_measured_updates_are_those_of_the_weights(job: MakeJob) -> None:
    one_step = job(**{**THEORY, "training__steps": 1})
    rows = measured(one_step)
    setup = setup_of(one_step)
    (initial,), (bases,) = [weight.clone() for weight in setup.mlp.hidden_weights], setup.bases
    list(train(setup, []))
    p = 12 - 2 * 3
    change = blocks(setup.mlp.hidden_weights[0] - initial, bases)
    updates = torch.stack([torch.linalg.matrix_norm(block) for block in change])
    for trial in range(3):
        np.testing.assert_allclose(
            rows[0, "block_update", 1, trial], updates[:, trial] / p**0.5, rtol=1e-9, atol=1e-15
        )


def test_at_the_start_rho_is_the_tail_and_nothing_has_turned(job: MakeJob) -> None:
    rows = measured(job(**THEORY))
    for trial in range(3):
        values = rows[0, "gradient_singular_value", 1, trial]
        assert len(values) == 4
        assert rows[0, "gradient_rotation", 1, trial] < 1e-14
        assert rows[0, "update_bound", 1, trial] == pytest.approx(0.1 * values[3])
        assert rows[0, "gradient_norm", 1, trial] >= np.linalg.norm(values)


def test_at_small_eps_the_first_gradient_is_the_signal(job: MakeJob) -> None:
    """G_1(0) tends to -phi'(0) W_2' Y X', with phi'(0) = 1 for ELU and 1/2 for GELU."""
    for activation, slope in (("elu", 1.0), ("gelu", 0.5)):
        rows = measured(job(activation, **THEORY, network__eps=1e-6))
        for trial in range(3):
            gradient, signal = (
                rows[0, f"{name}_singular_value", 1, trial] for name in ("gradient", "signal")
            )
            np.testing.assert_allclose(gradient[:3], slope * signal, rtol=1e-4)


@pytest.mark.parametrize(
    ("activation", "order"), [("elu", 1), ("silu", 1), ("tanh", 2), ("relu", 0), ("rrelu", 0)]
)
def test_tail_and_derivative_shrink_with_eps_where_phi_is_smooth(
    job: MakeJob, activation: str, order: int
) -> None:
    all_eps = [1e-2, 1e-3, 1e-4]
    start = {
        **THEORY,
        "training__steps": 0,
        "observe": {**THEORY["observe"], "gradient": None, "start_eps": all_eps},
    }
    rows = measured(job(activation, **start))
    for quantity in ("gradient_tail", "derivative_spread"):
        for trial in range(3):
            slopes = np.diff(np.log(rows[0, quantity, 1, trial])) / np.diff(np.log(all_eps))
            np.testing.assert_allclose(slopes, order, atol=0.05)


def test_the_start_does_not_depend_on_the_eps_it_is_computed_from(job: MakeJob) -> None:
    found = []
    for eps in (0.1, 0.5):
        observe = {**THEORY["observe"], "gradient": None, "start_eps": [0.1, 0.01]}
        start = {**THEORY, "training__steps": 0, "observe": observe, "network__eps": eps}
        rows = measured(job("gelu", **start))
        found.append(np.stack([rows[0, "gradient_tail", 1, trial] for trial in range(3)]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_the_largest_residual_begins_at_the_largest_target(job: MakeJob) -> None:
    """At a small eps f(X) is nearly zero, so Delta_2(0) is nearly -Y, whose entries are 0 and 1."""
    rows = measured(job("gelu", **THEORY, network__eps=1e-6))
    for trial in range(3):
        assert rows[0, "largest_residual", 0, trial] == pytest.approx(1, abs=1e-5)
        norm = (2 * rows[40, "train_loss", 0, trial]) ** 0.5
        largest = rows[40, "largest_residual", 0, trial]
        assert norm / (3 * 48) ** 0.5 <= largest <= norm


GRADIENT = {"observe__loss_gradient": 5}


@pytest.mark.parametrize("name", ["full", "s_big", "random", "adapters"])
@pytest.mark.parametrize("changes", [{}, MINIBATCH, {**MINIBATCH, "samples_at_once": 7}], ids=str)
def test_the_norm_of_the_gradient_is_that_of_the_loss_on_all_training_data(
    job: MakeJob, name: str, changes: dict[str, Any]
) -> None:
    run = job("gelu", name, parameterizations=[name], **GRADIENT, **changes)
    rows = measured(run)
    assert {key[0] for key in rows if key[1] == "loss_gradient_norm"} == {0, 5, 10, 15, 20}
    setup = setup_of(run)
    trained = [weight for weight in setup.network.parameters() if weight.requires_grad]
    outputs = setup.network(setup.data.train.inputs)
    losses = OBJECTIVES[setup.objective](outputs, setup.data.train.targets)
    gradients = torch.autograd.grad(losses.sum(), trained)
    for trial in range(3):
        entries = torch.cat([gradient[trial].flatten() for gradient in gradients])
        norm = float(torch.linalg.vector_norm(entries))
        assert rows[0, "loss_gradient_norm", 0, trial] == pytest.approx(norm, rel=1e-9)


def test_a_fixed_last_layer_has_no_part_in_the_gradient(job: MakeJob) -> None:
    rows = measured(job(**{**THEORY, "observe": {**THEORY["observe"], "loss_gradient": 1}}))
    for trial in range(3):
        norm = rows[0, "gradient_norm", 1, trial]
        assert rows[0, "loss_gradient_norm", 0, trial] == pytest.approx(norm)


def test_gamma_of_the_sublevel_set_is_measured_at_the_start_only(job: MakeJob) -> None:
    observe = {**THEORY["observe"], "gradient": None, "constants": 5}
    rows = measured(job("gelu", **{**THEORY, "observe": observe}))
    for trial in range(3):
        everywhere = rows[0, "sublevel_curvature_bound", 1, trial]
        assert rows[0, "step_times_bound", 1, trial] == pytest.approx(0.1 * everywhere)
        for step in range(0, 41, 5):
            local = rows[step, "curvature_bound", 1, trial]
            assert rows[step, "curvature", 1, trial] <= local <= everywhere
    once = [key for key in rows if key[1] in ("sublevel_curvature_bound", "step_times_bound")]
    assert {step for step, *_ in once} == {0}


def test_rotation_zero_is_s_big_and_all_angles_share_one_complement(job: MakeJob) -> None:
    factors = {}
    for degrees in (0.0, 45.0, 90.0):
        network = setup_of(job("elu", "s_big", network__rotation=degrees)).network
        factors[degrees] = network.input_factor.detach(), network.output_factor.detach()
    for side in range(2):
        none, half, whole = (factors[degrees][side] for degrees in (0.0, 45.0, 90.0))
        torch.testing.assert_close(half, (none + whole) / 2**0.5)
        assert (none.mT @ whole).abs().max() < 1e-13


def test_the_entries_of_the_change_have_the_shares_of_its_blocks(job: MakeJob) -> None:
    """Block 1 is the upper left corner: the first 2K columns, and m - d + 2K rows."""
    rows = measured(job(observe__block_magnitudes=5, observe__block_shares=5))
    for trial in range(3):
        entries = rows[5, "block_magnitude", 1, trial].reshape(14, 12)
        corner = np.square(entries[:8, :6]).sum() / np.square(entries).sum()
        assert corner == pytest.approx(rows[5, "block_share", 1, trial][0], rel=1e-9)
        assert (rows[0, "block_magnitude", 1, trial] == 0).all()
