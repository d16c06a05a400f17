"""A transformer block: against PyTorch's own modules, and what is measured of its MLP."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from conftest import MakeJob
from lowrank_dynamics.config.networks import matrices, step_operations
from lowrank_dynamics.data import digits
from lowrank_dynamics.models.transformer import TransformerBlock, normalized
from lowrank_dynamics.training.build import Job, Setup, setup_of
from lowrank_dynamics.training.jobs import train_job

NOW = datetime.now(UTC)
WIDTH, TOKENS = 24, 8
BLOCK = {
    "network__architecture": "transformer_block",
    "network__depth": 3,
    "network__width": WIDTH,
    "network__rank": None,
    "observe__singular_structure": None,
    "data": {"source": "digits", "training_images": 30, "test_images": 20},
    "parameterizations": ["full"],
}


def block_job(job: MakeJob, tmp_path: Path, trials: range = range(2), **changes: Any) -> Job:
    made = job("gelu", "full", trials, **BLOCK | changes)
    path = tmp_path / "digits.safetensors"
    digits.prepare(30, 20, path)
    return Job(made.settings, made.name, made.cell, trials, stored=path)


@pytest.fixture
def setup(job: MakeJob, tmp_path: Path) -> Setup:
    return setup_of(block_job(job, tmp_path))


def of_torch(network: TransformerBlock, trial: int, images: Tensor) -> Tensor:
    """Return the outputs (N, K) of one trial on images (N, pixels), by PyTorch's modules."""
    width = network.embedding.shape[-2]
    attention = nn.MultiheadAttention(width, 1, bias=False, batch_first=True).double()
    queries = [network.query[trial], network.key[trial], network.value[trial]]
    attention.in_proj_weight.data.copy_(torch.cat(queries))
    attention.out_proj.weight.data.copy_(network.output[trial])
    rows = images.reshape(len(images), TOKENS, -1)
    places = torch.eye(TOKENS, dtype=images.dtype).expand(len(images), TOKENS, TOKENS)
    embedded = functional.linear(torch.cat([rows, places], dim=-1), network.embedding[trial])
    normal = functional.layer_norm(embedded, [width])
    mixed, _ = attention(normal, normal, normal)
    stream = embedded + mixed
    first, second, last = [weight[trial] for weight in network.weights]
    hidden = functional.gelu(functional.linear(functional.layer_norm(stream, [width]), first))
    stream = stream + functional.linear(hidden, second)
    return functional.linear(stream.mean(dim=1), last)


def test_it_computes_what_torchs_modules_do(setup: Setup) -> None:
    network, inputs = setup.network, setup.data.train.inputs
    assert isinstance(network, TransformerBlock)
    for trial, outputs in enumerate(network(inputs)):
        torch.testing.assert_close(outputs, of_torch(network, trial, inputs.mT).mT)


def test_images_of_its_own_for_each_trial_are_the_same(setup: Setup) -> None:
    inputs = setup.data.train.inputs
    stacked = inputs.expand(2, *inputs.shape)
    torch.testing.assert_close(setup.network(stacked), setup.network(inputs))


def test_it_has_the_matrices_that_its_cost_is_computed_from(setup: Setup) -> None:
    described = [
        (matrix.rows, matrix.columns) for matrix in matrices(setup.job.cell_settings, "full")
    ]
    parameters = [tuple(parameter.shape[1:]) for parameter in setup.network.parameters()]
    assert sorted(described) == sorted(parameters)


def test_its_operations_are_those_that_torch_counts(setup: Setup) -> None:
    """Besides those between the tokens of an image, which are no products with a matrix of it."""
    network, data = setup.network, setup.data.train
    with FlopCounterMode(display=False) as counter:
        network(data.inputs).sum().backward()
    scores_and_mix = 2 * 2 * WIDTH * TOKENS**2
    between_tokens = 3 * scores_and_mix * data.inputs.shape[-1]
    expected = step_operations(setup.job.cell_settings, "full") + between_tokens
    assert counter.get_total_flops() == network.trials * expected


def test_features_are_normalized() -> None:
    features = torch.randn(2, 50, 7, generator=torch.Generator().manual_seed(0))
    expected = functional.layer_norm(features.mT, [50]).mT
    torch.testing.assert_close(normalized(features), expected)


def test_the_blocks_shares_of_both_layers_are_measured(job: MakeJob, tmp_path: Path) -> None:
    observed = {"observe__block_shares": 1, "observe__block_rank": 4, "training__steps": 3}
    whole = train_job(block_job(job, tmp_path, **observed), "laptop", None, threads=1, started=NOW)
    shares = whole.frame("block_share")
    assert set(shares["layer"]) == {1, 2}
    sums = shares.groupby(["step", "layer", "trial"])["value"].sum()
    assert (sums - 1).abs().max() < 1e-9
