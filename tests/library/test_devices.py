"""For those whose weights are elsewhere: on the meta device, where there is no float64, divided
among processes, in TorchScript, complex.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import refused
from lowrank_dynamics import Watch, low_rank, merge, subspace_report
from lowrank_dynamics.models import subspaces
from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.no_trace import random_numbers_kept
from stacks import batch, mlp

Use = Callable[[nn.Module, Any], Any]
USES: dict[str, Use] = {
    "low_rank": low_rank,
    "report": subspace_report,
    "watch": Watch,
    "spectra": lambda model, _: Watch(model, quantities=["singular_structure"]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_default_device_may_be_another(use: Use) -> None:
    model = mlp(14, 20, 3)
    inputs, labels = batch(model)
    with torch.device("meta"):
        use(model, lambda: functional.cross_entropy(model(inputs), labels))


def test_a_higher_rank_and_a_table_with_another_default_device() -> None:
    model = mlp(14, 20, 3)
    inputs, labels = batch(model)

    def loss() -> Tensor:
        return functional.cross_entropy(model(inputs), labels)

    with torch.device("meta"):
        assert low_rank(model, loss, 8)(inputs).shape == (40, 3)
        watch = Watch(model, loss)
        watch.record(0, train_loss=1.0)
        assert watch.metrics().values("quantity") == {"train_loss"}


class NoFloat64(TorchDispatchMode):
    """Sees some tensors, and all that is computed of them, as on a device without float64, and
    refuses to mix them with others. What `cpu` returns is not on it.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        self.on_device = list(tensors)  # kept, so that no other tensor takes their memory

    def has(self, tensor: Tensor) -> bool:
        places = {each.untyped_storage().data_ptr() for each in self.on_device}
        return tensor.untyped_storage().data_ptr() in places

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        flat, _ = torch.utils._pytree.tree_flatten((args, kwargs or {}))
        inputs = [value for value in flat if isinstance(value, Tensor) and value.numel()]
        there = [self.has(tensor) for tensor in inputs]
        result = function(*args, **(kwargs or {}))
        if not any(there) or function is torch.ops.aten.copy_.default:
            return result
        for tensor, is_there in zip(inputs, there, strict=True):
            if not is_there and tensor.dim():
                raise RuntimeError(f"{function}: expected all tensors on the same device")
        outputs, _ = torch.utils._pytree.tree_flatten(result)
        for tensor in outputs:
            if isinstance(tensor, Tensor) and tensor.numel():
                if tensor.dtype == torch.float64:
                    raise TypeError(f"{function}: the device has no float64")
                self.on_device.append(tensor)
        return result


def on_the_cpu(tensor: Tensor) -> Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype)
    return copy.copy_(tensor.detach())


def compress_and_merge(model: nn.Module, loss: Any) -> nn.Module:
    return merge(low_rank(model, loss, 7))


@pytest.mark.parametrize(
    "use",
    [compress_and_merge, subspace_report, Watch],
    ids=["low_rank and merge", "report", "watch"],
)
def test_without_float64_the_linear_algebra_is_done_on_the_cpu(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same numbers as where there is float64."""
    model = mlp(14, 12, 12, 3, dtype=torch.float32)
    inputs, labels = batch(model)
    targets = functional.one_hot(labels, 3).float()

    def loss() -> Tensor:
        return (model(inputs) - targets).square().sum()

    expected = use(model, loss)
    monkeypatch.setattr(subspaces, "_has_float64", lambda device: False)
    monkeypatch.setattr(Tensor, "cpu", on_the_cpu)
    with NoFloat64([*model.parameters(), inputs, targets]):
        result = use(model, loss)
    if isinstance(result, nn.Module):
        for one, other in zip(result.parameters(), expected.parameters(), strict=True):
            assert torch.equal(one, other)
    if not isinstance(result, Watch):
        assert str(result) == str(expected)


@pytest.mark.parametrize("error", [TypeError, RuntimeError])
def test_a_device_is_asked_for_float64(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subspaces._has_float64(torch.device("cpu"))

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "empty", refuse)
    assert not subspaces._has_float64(torch.device("mps"))


def test_the_random_numbers_of_apple_s_device_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.tensor([1]), torch.tensor([2])]
    restored: list[Tensor] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", iter(states).__next__)
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    with random_numbers_kept(torch.device("mps")):
        assert not restored
    assert restored == states[:1]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_weights_without_values_are_refused(use: Use) -> None:
    model = mlp(14, 12, 12, 3).to("meta")
    with refused(
        "the model is on the meta device, where weights have no values; put it on another"
    ):
        use(model, lambda: model(torch.zeros(5, 14, device="meta")).sum())


def double_prelu() -> nn.PReLU:
    return nn.PReLU(dtype=torch.float64)


def test_the_layers_of_a_model_without_values_are_seen() -> None:
    model = mlp(14, 12, 12, 3, activation=double_prelu).to("meta")
    assert len(chain_of(model).layers) == 3


@pytest.fixture
def process() -> Iterator[None]:
    """Make this process a group of one."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process")
@pytest.mark.filterwarnings("ignore")  # of torch, on a machine without a GPU
@pytest.mark.parametrize(
    "shard",
    [
        lambda model: fully_shard(model, mesh=init_device_mesh("cpu", (1,))),
        lambda model: FullyShardedDataParallel(model, device_id=torch.device("cpu")),
        lambda model: nn.Sequential(
            FullyShardedDataParallel(model[0], device_id=torch.device("cpu")), *model[1:]
        ),
    ],
    ids=["fully_shard", "FSDP", "a layer"],
)
def test_weights_that_are_divided_among_processes_are_refused(shard: Any) -> None:
    sharded = shard(mlp(14, 12, 12, 3))
    with refused("divided among processes.*; make the low-rank model first, and shard that"):
        low_rank(sharded, lambda: pytest.fail("the loss was called"))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_refused() -> None:
    model = nn.Sequential(nn.Identity(), mlp(14, 12, 12, 3))
    for scripted in (torch.jit.script(model), nn.Sequential(torch.jit.script(model[1]))):
        at = "0" if type(scripted) is nn.Sequential else ""
        with refused(
            "the model is compiled by TorchScript, so its layers cannot be replaced; take"
        ):
            low_rank(scripted, lambda: pytest.fail("the loss was called"), at=at)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_complex_weights_are_refused(place: int) -> None:
    model = mlp(14, 12, 12, 3)
    weight = model[place].weight
    model[place].weight = nn.Parameter(weight.detach().to(torch.complex128))
    for use in (low_rank, subspace_report, Watch):
        with refused(
            rf"the weight of module {place} \(Linear\) is complex, and the theory is about"
        ):
            use(model, lambda: pytest.fail("the loss was called"))  # type: ignore[operator]
