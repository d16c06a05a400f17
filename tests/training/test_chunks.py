"""Samples that go through a network a few at a time give what all of them give, to rounding, and
take less memory.
"""

import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from conftest import MINIBATCH, MakeJob, measured
from lowrank_dynamics.training.build import setup_of
from lowrank_dynamics.training.losses import OBJECTIVES, forward_and_back
from runs import environment

SIZES = (1, 7, 16, 47)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("network", ["full", "s_big"])
def test_losses_and_gradients_are_those_of_the_whole(
    job: MakeJob, objective: str, network: str
) -> None:
    setup = setup_of(job("gelu", network, training__objective=objective))
    trained = list(setup.network.parameters())
    whole = forward_and_back(setup.network, setup.data.train, objective, trained, None)
    for size in SIZES:
        found = forward_and_back(setup.network, setup.data.train, objective, trained, size)
        torch.testing.assert_close(found.outputs, whole.outputs)
        torch.testing.assert_close(found.losses, whole.losses)
        torch.testing.assert_close(list(found.gradients), list(whole.gradients))
    at_least_all = forward_and_back(setup.network, setup.data.train, objective, trained, 48)
    assert all(
        torch.equal(one, other)
        for one, other in zip(at_least_all.gradients, whole.gradients, strict=True)
    )


@pytest.mark.parametrize(
    "changes", [{}, MINIBATCH, {"network__first_batch": 20}], ids=["full batch", "mini", "first"]
)
def test_a_training_in_chunks_is_that_of_the_whole(job: MakeJob, changes: dict[str, Any]) -> None:
    whole, chunked = (
        measured(job("gelu", "s_big", samples_at_once=size, **changes)) for size in (None, 7)
    )
    assert whole.keys() == chunked.keys()
    for key, values in whole.items():
        torch.testing.assert_close(
            torch.tensor(chunked[key]), torch.tensor(values), rtol=1e-9, atol=1e-9
        )


def test_an_activation_that_draws_for_a_whole_batch_is_refused(job: MakeJob) -> None:
    with pytest.raises(ValueError, match="samples_at_once must be null for rrelu"):
        setup_of(job("rrelu", "full", activations=["rrelu"], samples_at_once=7))


PEAK = """
import re
from pathlib import Path
import torch
from lowrank_dynamics.data.dataset import Split
from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.training.losses import forward_and_back
torch.set_num_threads(1)
samples = {samples}
data = Split(torch.randn(64, samples), torch.arange(samples) % 10, 10)
weights = [torch.randn(1, 256, 64), torch.randn(1, 256, 256), torch.randn(1, 10, 256)]
network = MLP(weights, torch.nn.GELU())
parameters = list(network.parameters())
first = Split(data.inputs[:, :500], data.labels[:500], 10)
forward_and_back(network, first, "squared_error", parameters, 500)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what came before
before = Path("/proc/self/status").read_text()
forward_and_back(network, data, "squared_error", parameters, {size})
after = Path("/proc/self/status").read_text()
peak, start = re.search(r"VmHWM:\\s+(\\d+)", after)[1], re.search(r"VmRSS:\\s+(\\d+)", before)[1]
print(int(peak) - int(start))
"""


def peak(samples: int, size: int | None) -> int:
    """Return by how many kilobytes the peak memory grows when all samples have gone through a
    network and back.
    """
    code = PEAK.format(samples=samples, size=size)
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    return int(re.findall(r"\d+", run.stdout)[0])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    """Except for outputs, of K numbers a sample; the activations of 160,000 samples are some 300 MB
    at least.
    """
    assert peak(160_000, None) > 300_000
    assert peak(160_000, 500) < 30_000
