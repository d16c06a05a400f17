"""The networks that are trained, as they are initialized: each has the matrices that describe it,
low-rank ones the directions of their name, and adapters change nothing at first.
"""

import math
from pathlib import Path

import pytest
import torch

from conftest import MakeJob, job_of, measured
from lowrank_dynamics.config.networks import matrices
from lowrank_dynamics.config.registries import PARAMETERIZATIONS
from lowrank_dynamics.models.initialization import big_factors
from lowrank_dynamics.models.networks import AdaptedMLP, FactorizedMLP, LowRankMLP
from lowrank_dynamics.models.subspaces import (
    big_subspace,
    principal_angles,
    top_singular_subspaces,
)
from lowrank_dynamics.training.build import Setup, setup_of

LOW_RANK = [
    name for name, entry in PARAMETERIZATIONS.items() if entry.matrices.endswith(":low_rank_mlp")
]
K, RANK = 3, 6


def initial(job: MakeJob, name: str, rank: int = RANK) -> Setup:
    return setup_of(job("elu", name, parameterizations=[name], network__rank=rank))


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("train_last_layer", [True, False])
def test_a_network_has_the_matrices_that_its_cost_is_computed_from(
    job: MakeJob, name: str, depth: int, train_last_layer: bool
) -> None:
    """Their shapes, whether they are trained, and that one takes the inputs; V' is stored as V."""
    if PARAMETERIZATIONS[name].low_rank and not train_last_layer:
        pytest.skip("low-rank networks train all their weights")
    shape = {"network__depth": depth, "network__train_last_layer": train_last_layer}
    built = job("elu", name, parameterizations=[name], **shape)
    described = [
        (sorted((matrix.rows, matrix.columns)), matrix.trained)
        for matrix in matrices(built.cell_settings, name)
    ]
    parameters = [
        (sorted(parameter.shape[1:]), parameter.requires_grad)
        for parameter in setup_of(built).network.parameters()
    ]
    assert sorted(described) == sorted(parameters)
    taking = [matrix for matrix in matrices(built.cell_settings, name) if matrix.takes_inputs]
    assert {matrix.columns for matrix in taking} == {built.cell_settings.data.dimension}


@pytest.mark.parametrize("name", LOW_RANK)
@pytest.mark.parametrize("rank", [RANK, 8])
def test_every_low_rank_network_has_orthonormal_factors(job: MakeJob, name: str, rank: int) -> None:
    network = initial(job, name, rank).network
    assert isinstance(network, LowRankMLP)
    for factor in (network.input_factor, network.output_factor):
        gram = factor.mT @ factor
        torch.testing.assert_close(gram, torch.eye(rank, dtype=torch.float64).expand_as(gram))


def missing(job: MakeJob, name: str, what: str) -> torch.Tensor:
    """Return how much of a basis of what it should have V lacks, trial by trial."""
    setup = initial(job, name)
    first, network = setup.mlp.hidden_weights[0], setup.network
    assert isinstance(network, LowRankMLP)
    left, right = top_singular_subspaces(setup.initial_gradient, K)
    bases = {"right": right, "left": torch.linalg.qr(first.mT @ left).Q}
    bases["big"] = big_subspace(first, setup.initial_gradient, K, 0.1)
    v = network.input_factor.detach()
    return torch.linalg.matrix_norm(bases[what] - v @ (v.mT @ bases[what]))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("s_big", "big"),
        ("s_big_inputs", "big"),
        ("s_big_right", "right"),
        ("s_big_left", "left"),
        ("gradient", "right"),
    ],
)
def test_factors_have_the_directions_of_their_name(job: MakeJob, name: str, what: str) -> None:
    assert (missing(job, name, what) < 1e-10).all()


@pytest.mark.parametrize("name", ["random", "propagated", "s_big_outputs", "s_big_left"])
def test_others_do_not(job: MakeJob, name: str) -> None:
    assert (missing(job, name, "right") > 0.1).all()


@pytest.mark.parametrize(
    "name", ["s_big", "gradient", "principal_components", "s_big_right", "s_big_left", "propagated"]
)
def test_what_the_weights_make_of_v_is_u(job: MakeJob, name: str) -> None:
    setup = initial(job, name)
    network = setup.network
    assert isinstance(network, LowRankMLP)
    image = network.input_factor.detach()
    for weight in setup.mlp.hidden_weights:
        image = weight @ image / 0.1
    torch.testing.assert_close(network.output_factor.detach(), image)


def low_rank(job: MakeJob, name: str = "s_big", **network: object) -> LowRankMLP:
    changes = {f"network__{key}": value for key, value in network.items()}
    built = setup_of(job("elu", name, parameterizations=[name], **changes)).network
    assert isinstance(built, LowRankMLP)
    return built.requires_grad_(False)


@pytest.mark.parametrize("name", LOW_RANK)
def test_cores_that_are_the_identity_change_no_other_draw(job: MakeJob, name: str) -> None:
    drawn = low_rank(job, name, rank=8)
    identity = low_rank(job, name, rank=8, cores="identity")
    for core in identity.cores:
        assert torch.equal(core, 0.1 * torch.eye(8, dtype=torch.float64).expand(3, 8, 8))
    for part in ("input_factor", "output_factor", "last"):
        assert torch.equal(getattr(identity, part), getattr(drawn, part))


@pytest.mark.parametrize("name", ["s_big", "s_big_inputs", "s_big_outputs"])
def test_extra_columns_may_be_the_image_of_those_of_v(job: MakeJob, name: str) -> None:
    drawn = low_rank(job, name, rank=9)
    image = low_rank(job, name, rank=9, extra_columns="image")
    assert torch.equal(image.input_factor, drawn.input_factor)
    if name == "s_big_inputs":  # whose U is random
        assert torch.equal(image.output_factor, drawn.output_factor)
        return
    assert torch.equal(image.output_factor[..., :RANK], drawn.output_factor[..., :RANK])
    assert not torch.equal(image.output_factor, drawn.output_factor)
    through = low_rank(job, rank=9, extra_columns="image").input_factor
    for weight in initial(job, "s_big").mlp.hidden_weights:
        through = weight @ through / 0.1
    torch.testing.assert_close(image.output_factor, through)


@pytest.mark.parametrize("width", [200, 216])
def test_extra_columns_lie_outside_both_factors_of_any_width(finished: Path, width: int) -> None:
    """Below the dimension of the features the columns of U are not orthonormal."""
    changes = [f"experiments.vgg_heads.network.width={width}"]
    job = job_of("smoke", "vgg_heads", "gelu-s_big-4k", finished / "results/data", *changes)
    network = setup_of(job).network
    assert isinstance(network, LowRankMLP)
    for factor in (network.input_factor.detach(), network.output_factor.detach()):
        inside, extra = factor.double().tensor_split([2 * 10], dim=-1)
        overlap, gram = inside.mT @ extra, extra.mT @ extra
        torch.testing.assert_close(overlap, torch.zeros_like(overlap), atol=1e-6, rtol=0)
        identity = torch.eye(20).double().expand_as(gram)
        torch.testing.assert_close(gram, identity, atol=1e-6, rtol=0)


@pytest.mark.parametrize("degrees", [30.0, 90.0])
def test_a_common_complement_is_one_subspace_orthogonal_to_both_factors(
    job: MakeJob, degrees: float
) -> None:
    square = {"data__dimension": 20, "network__width": 20, "network__rotation": degrees}
    separate = setup_of(job("elu", "s_big", **square))
    common = setup_of(job("elu", "s_big", network__complements="common", **square)).network
    assert isinstance(common, LowRankMLP)
    factors = big_factors(separate.mlp.hidden_weights, separate.initial_gradient, K, 0.1)
    turned = common.input_factor.detach(), common.output_factor.detach()
    psi = math.radians(degrees)
    complements = []
    for before, after in zip(factors, turned, strict=True):
        complements.append((after - math.cos(psi) * before) / math.sin(psi))
        angles = principal_angles(before, after)
        torch.testing.assert_close(angles, torch.full_like(angles, psi), atol=1e-12, rtol=0)
    torch.testing.assert_close(complements[0], complements[1], atol=1e-12, rtol=0)
    for factor in factors:
        assert (factor.mT @ complements[0]).abs().max() < 1e-12


def test_at_zero_degrees_the_complements_do_not_matter(job: MakeJob) -> None:
    square = {"data__dimension": 20, "network__width": 20}
    separate = setup_of(job("elu", "s_big", **square)).network
    common = setup_of(job("elu", "s_big", network__complements="common", **square)).network
    for one, other in zip(separate.parameters(), common.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["s_big", "random", "adapters"])
def test_low_rank_networks_may_have_a_draw_of_their_own(job: MakeJob, name: str) -> None:
    """All that follows from W_1(0) .. W_L(0) follows from that draw; the full network keeps its."""
    alone = {"parameterizations": [name], "network__shares_draw": False}
    shared, other = initial(job, name), setup_of(job("elu", name, **alone))
    full = setup_of(job("elu", "full", network__shares_draw=False))
    assert torch.equal(full.mlp.weights[0], shared.mlp.weights[0])
    for one, another in zip(shared.mlp.weights, other.mlp.weights, strict=True):
        assert not torch.equal(one, another)
    network = other.network
    assert torch.equal(network.last, other.mlp.weights[-1])
    if name == "random":  # whose factors follow from no draw of weights
        assert torch.equal(network.input_factor, shared.network.input_factor)
    if name == "s_big":
        big = big_subspace(other.mlp.hidden_weights[0], other.initial_gradient, K, 0.1)
        assert torch.equal(network.input_factor.detach(), big)


def test_principal_components_leave_the_least_of_the_inputs(job: MakeJob) -> None:
    """Of whitened inputs every direction is as good; so the inputs are not."""
    setup = setup_of(
        job(
            "elu",
            "principal_components",
            parameterizations=["principal_components"],
            data__whitened=False,
        )
    )
    network, inputs = setup.network, setup.data.train.inputs
    assert isinstance(network, LowRankMLP)
    centered, v = inputs - inputs.mean(dim=-1, keepdim=True), network.input_factor.detach()
    missed = torch.linalg.matrix_norm(centered - v @ (v.mT @ centered))
    least = torch.linalg.svdvals(centered)[:, RANK:].square().sum(dim=-1).sqrt()
    torch.testing.assert_close(missed, least)


def test_adapters_change_nothing_at_first_and_leave_the_weights(job: MakeJob) -> None:
    setup = initial(job, "adapters")
    network, inputs = setup.network, setup.data.train.inputs
    assert isinstance(network, AdaptedMLP)
    torch.testing.assert_close(network(inputs), setup.mlp(inputs))
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"hidden.0", "hidden.1"}
    whole = measured(job("elu", "adapters", parameterizations=["adapters"]))
    assert whole[20, "train_loss", 0, 0] < whole[0, "train_loss", 0, 0]
    alone = measured(job("elu", "adapters", trials=range(1, 2), parameterizations=["adapters"]))
    assert all(whole[key] == value for key, value in alone.items())


def test_adapters_from_the_gradient_change_nothing_at_first(job: MakeJob) -> None:
    """A_l spans the top r right singular vectors of G_l(0), B_l the next left ones."""
    setup = initial(job, "adapters_from_gradient")
    network, inputs = setup.network, setup.data.train.inputs
    assert isinstance(network, AdaptedMLP)
    torch.testing.assert_close(network(inputs), setup.mlp(inputs))
    rank = network.downward[0].shape[-2]
    for gradient, down, up in zip(
        setup.hidden_gradients, network.downward, network.upward, strict=True
    ):
        left, _, right_t = torch.linalg.svd(gradient)
        on_top = right_t[..., :rank, :].mT
        angles = principal_angles(on_top, down.detach().mT / 0.1**0.5)
        torch.testing.assert_close(angles, torch.zeros_like(angles), atol=1e-7, rtol=0)
        next_ones = left[..., rank : 2 * rank]
        angles = principal_angles(next_ones, up.detach() / 0.1**0.5)
        torch.testing.assert_close(angles, torch.zeros_like(angles), atol=1e-7, rtol=0)
        values = torch.linalg.svdvals(up @ down)[..., :rank]
        torch.testing.assert_close(values, torch.full_like(values, 0.1))


def test_adapters_of_one_step_descend(job: MakeJob) -> None:
    """B_l A_l is the best approximation of -G_l(0) of its rank, of size eps."""
    setup = initial(job, "adapters_of_one_step")
    network = setup.network
    assert isinstance(network, AdaptedMLP)
    for gradient, down, up in zip(
        setup.hidden_gradients, network.downward, network.upward, strict=True
    ):
        rank = down.shape[-2]
        left, values, right_t = torch.linalg.svd(gradient, full_matrices=False)
        best = left[..., :rank] * values[:, None, :rank] @ right_t[..., :rank, :]
        expected = -0.1 * best / values[:, :1, None]
        torch.testing.assert_close((up @ down).detach(), expected)


def test_spectral_factors_have_the_best_approximation_of_the_weights(job: MakeJob) -> None:
    """All of its singular values are eps, as those of the weights, and the rest is orthogonal."""
    setup = initial(job, "spectral")
    network = setup.network
    assert isinstance(network, FactorizedMLP)
    for weight, down, up in zip(
        setup.mlp.hidden_weights, network.downward, network.upward, strict=True
    ):
        rank = down.shape[-2]
        product = (up @ down).detach()
        values = torch.linalg.svdvals(product)[..., :rank]
        torch.testing.assert_close(values, torch.full_like(values, 0.1))
        kept = (product * (weight - product)).sum(dim=(-2, -1))
        torch.testing.assert_close(kept, torch.zeros_like(kept), atol=1e-12, rtol=0)
