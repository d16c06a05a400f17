"""The simulated device can fail: it refuses what a GPU would refuse, and counts what happens."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import simulated_device
from simulated_device import NAME, Counts, SimulatedDevice, SimulatedTensor, simulated

pytestmark = pytest.mark.skipif(bool(simulated_device.WHY_NOT), reason=simulated_device.WHY_NOT)

HOST = torch.arange(6.0).reshape(2, 3)
MASK = HOST > 2


@pytest.fixture(autouse=True)
def device() -> Iterator[SimulatedDevice]:
    with simulated() as device:
        yield device


def there(tensor: Tensor = HOST) -> Tensor:
    return tensor.to(NAME)


REFUSED: list[Callable[[], object]] = [
    lambda: there() + HOST,
    lambda: there() @ HOST.mT,
    lambda: there().add_(HOST),
    lambda: torch.cat([there(), HOST]),
    lambda: torch.where(MASK, there(), 0.0),
    lambda: there().masked_fill(MASK, 0.0),
    lambda: there().gather(-1, HOST.long()),
    lambda: HOST[there(torch.tensor([0]))],
    lambda: HOST.clone()[there(MASK)],
    lambda: torch.tensor(1.0).add_(there(torch.tensor(1.0))),
    lambda: there().uniform_(generator=torch.Generator()),
    lambda: torch.randn(3, device=NAME, generator=torch.Generator()),
    lambda: there().numpy(),
    lambda: np.asarray(there()),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_what_a_gpu_would_refuse(refused: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        refused()


ACCEPTED: list[tuple[Callable[[], Tensor], Callable[[], Tensor]]] = [
    (lambda: there() * torch.tensor(2.0), lambda: HOST * 2),
    (lambda: there()[torch.tensor([1])], lambda: HOST[[1]]),
    (lambda: there()[MASK], lambda: HOST[MASK]),
    (lambda: there()[there(MASK)], lambda: HOST[MASK]),
    (lambda: torch.zeros(2, device=NAME) + 1, lambda: torch.ones(2)),
    (lambda: torch.eye(2, device=NAME), lambda: torch.eye(2)),
    (lambda: torch.tensor([1.0, 2.0], device=NAME), lambda: torch.tensor([1.0, 2.0])),
    (lambda: HOST.new_zeros(2, device=NAME), lambda: torch.zeros(2)),
    (lambda: there().new_zeros(2, device="cpu"), lambda: torch.zeros(2)),
    (lambda: torch.linalg.svdvals(there()), lambda: torch.linalg.svdvals(HOST)),
    (lambda: nn.functional.silu(there()), lambda: nn.functional.silu(HOST)),
]


@pytest.mark.parametrize(("accepted", "expected"), ACCEPTED)
def test_what_a_gpu_would_accept(
    accepted: Callable[[], Tensor], expected: Callable[[], Tensor]
) -> None:
    assert torch.equal(accepted().cpu(), expected())


def test_gradients_are_there_and_have_the_numbers_of_the_cpu() -> None:
    def gradient(weight: Tensor, inputs: Tensor) -> Tensor:
        weight.requires_grad_()
        loss = nn.functional.silu(weight @ inputs).square().sum()
        (gradient,) = torch.autograd.grad(loss, [weight])
        return gradient

    found = gradient(there(), there(HOST.mT))
    assert isinstance(found, SimulatedTensor)
    assert torch.equal(found.cpu(), gradient(HOST.clone(), HOST.mT))


def test_a_stored_tensor_is_one_of_the_cpu() -> None:
    content = io.BytesIO()
    torch.save({"weight": there()}, content)
    content.seek(0)
    assert torch.equal(torch.load(content, weights_only=True)["weight"], HOST)


def test_double_precision_is_refused_where_it_is_said() -> None:
    with simulated(float64=False):
        there()
        for refused in (lambda: there().double(), lambda: torch.zeros(2, 3, device=NAME).double()):
            with pytest.raises(TypeError, match="has no float64"):
                refused()


COUNTED: list[tuple[Callable[[Tensor], object], Counts]] = [
    (lambda tensor: tensor.mT.view(3, 2)[0].unsqueeze(0), Counts()),
    (lambda tensor: tensor.mul_(2).add_(1), Counts(operations=2)),
    (lambda tensor: (tensor @ tensor.mT).sum(), Counts(operations=2)),
    (lambda tensor: bool((tensor > 7).any()), Counts(operations=2, reads=1, bytes_read=1)),
    (lambda tensor: tensor.cpu(), Counts(reads=1, bytes_read=24)),
    (lambda tensor: tensor.tolist(), Counts(reads=1, bytes_read=24)),
    (lambda tensor: HOST.clone().copy_(tensor), Counts(reads=1, bytes_read=24)),
    (lambda _: there(), Counts(waited_uploads=1, bytes_uploaded=24)),
    (lambda _: HOST.to(NAME, non_blocking=True), Counts(bytes_uploaded=24)),
    (lambda tensor: tensor[MASK], Counts(1, reads=1, waited_uploads=1, bytes_uploaded=6)),
    (torch.linalg.svd, Counts(operations=1, reads=1)),
    (lambda tensor: tensor.nonzero(), Counts(operations=1, reads=1)),
]


@pytest.mark.parametrize(("action", "expected"), COUNTED)
def test_what_is_counted(
    device: SimulatedDevice, action: Callable[[Tensor], object], expected: Counts
) -> None:
    tensor = there()
    before = device.counts
    action(tensor)
    assert device.counts.since(before) == expected


def test_memory_that_is_short_may_suffice_later_and_a_broken_device_stays_broken(
    device: SimulatedDevice,
) -> None:
    tensor = there()
    device.fail(torch.OutOfMemoryError("out of memory"), after=2)
    tensor + 1
    with pytest.raises(torch.OutOfMemoryError):
        tensor + 1
    tensor + 1
    device.fail(torch.AcceleratorError("CUDA error: unspecified launch failure"))
    for _ in range(2):
        with pytest.raises(torch.AcceleratorError):
            tensor + 1
