"""A device in Python: its tensors hold their numbers in the host's memory, so they are the CPU's.

It refuses what a GPU would refuse, counts what a GPU would wait for, and fails when told to.
What it cannot show: the rounding of a GPU, its memory, its time, and what its driver does. Import
this module before the first backward pass of a process, because autograd then asks torch once which
devices there are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import backend_registration

aten = torch.ops.aten
NAME = "simulated"
EXPERIMENTAL = "_setup_privateuseone_for_python_backend"
"""The one name here that torch marks as experimental: it gives a device that is written in Python
what autograd asks of a device.
"""
WHY_NOT = ""
"""Why no device can be simulated with this torch; empty if one can."""
if not hasattr(backend_registration, EXPERIMENTAL):
    WHY_NOT = f"torch {torch.__version__} has no {backend_registration.__name__}.{EXPERIMENTAL}"

READ = (aten._local_scalar_dense.default,)
"""What makes a number of Python of a tensor."""
VALUES_ALONE = (torch.linalg.svdvals, torch.linalg.eigvalsh, torch.linalg.matrix_norm)
"""Functions that decompose without computing singular vectors, unless a gradient needs them, or a
tensor is of a class like `SimulatedTensor`, which rounds differently.
"""
SYNCHRONIZING = (
    *VALUES_ALONE,
    *(aten._linalg_svd.default, aten._linalg_eigh.default, aten._linalg_solve_ex.default),
    *(aten.equal.default, aten.nonzero.default, aten.masked_select.default, aten._unique2.default),
)
"""What CUDA does not finish without the host, which reads back how large the result is, or whether
a decomposition succeeded.
"""
INDEXING = (
    *(aten.index.Tensor, aten.index_put.default),
    *(aten.index_put_.default, aten._index_put_impl_.default),
)
"""Operations whose second argument lists indices, which CUDA accepts from the host."""
WITHOUT_KERNEL = (
    *(aten.empty_like.default, aten.new_empty.default, aten.new_empty_strided.default),
    *(aten.detach.default, aten._unsafe_view.default),
)
"""Operations that compute nothing, besides views."""
OF_ITS_OWN = ("silu_backward", "mish_backward")
"""Operations that CPU and CUDA compute in one, and torch in several where a device has none of its
own.
"""


class Counts(NamedTuple):
    """What happened on the device: operations without views and transfers, reads by the host, and
    uploads that the host waits for; and bytes moved either way.
    """

    operations: int = 0
    reads: int = 0
    waited_uploads: int = 0
    bytes_read: int = 0
    bytes_uploaded: int = 0

    def since(self, other: "Counts") -> "Counts":
        """Return what happened after `other` was counted."""
        return Counts(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


class SimulatedTensor(Tensor):
    """A tensor of the device; its numbers are in `host`, a tensor of the CPU."""

    host: Tensor

    @staticmethod
    def __new__(cls: type["SimulatedTensor"], host: Tensor) -> "SimulatedTensor":
        tensor = Tensor._make_wrapper_subclass(
            cls,
            host.shape,
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.host = host
        return tensor

    def __init__(self, host: Tensor) -> None:
        del host

    def __repr__(self, **_: Any) -> str:
        return f"{NAME}({self.host!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Store the numbers as a tensor of the CPU, which states are read as."""
        return self.detach().cpu().__reduce_ex__(protocol)

    @classmethod
    def __torch_function__(cls, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        decomposes = func in VALUES_ALONE[:-1] or (func is VALUES_ALONE[-1] and len(args) > 1)
        if decomposes and not (torch.is_grad_enabled() and args[0].requires_grad):
            return _device.computed(func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten._to_copy.default:
            return _device.copied(*args, **kwargs)
        if func is aten.copy_.default:
            return _device.overwritten(*args, **kwargs)
        return _device.computed(func, args, kwargs)


class SimulatedDevice:
    """What happens on the device, and between it and the host.

    With `float64=False` it refuses numbers of double precision, as Apple's GPUs do.
    """

    def __init__(self, *, float64: bool = True) -> None:
        self.float64 = float64
        self.counts = Counts()
        self.allocations = 0
        self._failure: tuple[int, Exception] | None = None

    def fail(self, error: Exception, after: int = 1) -> None:
        """Raise an error at the `after`-th allocation from here on: once, if memory is short, and
        at all that follow if the device itself has failed.
        """
        self._failure = self.allocations + after, error

    def computed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return the results of an operation, on the device unless the arguments say otherwise."""
        options = dict(kwargs)
        target = options.pop("device", None)
        if target is None:
            _require_one_device(func, args, kwargs)
        self._count(func, args)
        named = {name: _on_host(value) for name, value in options.items()}
        results = func(*_on_host(args), **named)
        if target is not None and target.type != NAME:
            return results
        known = {}
        for leaf in _leaves([*args, *kwargs.values()]):
            if isinstance(leaf, SimulatedTensor):
                known[id(leaf.host)] = leaf

        def on_device(result: Tensor) -> Tensor:
            if id(result) in known:  # changed in place
                return known[id(result)]
            return SimulatedTensor(result) if _is_view(func) else self.allocated(result)

        return _mapped(results, Tensor, on_device)

    def copied(
        self,
        source: SimulatedTensor,
        *,
        device: Any = None,
        non_blocking: Any = None,
        **options: Any,
    ) -> Tensor:
        """Return a copy of a tensor of the device, of another dtype or layout, or on the host."""
        del non_blocking
        copy = aten._to_copy.default(source.host, **options)
        if device is None or device.type == NAME:
            self._add(operations=1)
            return self.allocated(copy)
        self._add(reads=1, bytes_read=source.host.nbytes)
        return copy

    def overwritten(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        """Return `target` with the numbers of `source`, one of which is on the device."""
        if not isinstance(source, SimulatedTensor):
            self._add(waited_uploads=int(not non_blocking), bytes_uploaded=source.nbytes)
        elif not isinstance(target, SimulatedTensor):
            self._add(reads=1, bytes_read=source.host.nbytes)
        else:
            self._add(operations=1)
        _on_host(target).copy_(_on_host(source))
        return target

    def allocated(self, host: Tensor) -> SimulatedTensor:
        """Return a new tensor of the device."""
        if host.dtype == torch.float64 and not self.float64:
            raise TypeError(f"{NAME}:0 has no float64; use float32 instead")
        self.allocations += 1
        if self._failure is not None and self.allocations >= self._failure[0]:
            _, error = self._failure
            if isinstance(error, torch.OutOfMemoryError):
                self._failure = None
            raise error
        return SimulatedTensor(host)

    def _count(self, func: Any, args: Any) -> None:
        """Count an operation, and what the host waits for."""
        if func in READ:
            self._add(reads=1, bytes_read=args[0].element_size())
        elif not _is_view(func) and func not in WITHOUT_KERNEL:
            self._add(operations=1)
        if func in SYNCHRONIZING:
            self._add(reads=1)
        if func in INDEXING:
            for index in args[1]:
                self._count_index(index)

    def _count_index(self, index: Tensor | None) -> None:
        if index is not None and index.dtype == torch.bool:  # how many are true is read back
            self._add(reads=1)
        if index is not None and not isinstance(index, SimulatedTensor):
            self._add(waited_uploads=1, bytes_uploaded=index.nbytes)

    def _add(self, **more: int) -> None:
        sums = {}
        for name, count in more.items():
            sums[name] = getattr(self.counts, name) + count
        self.counts = self.counts._replace(**sums)


_device = SimulatedDevice()


@contextmanager
def simulated(*, float64: bool = True) -> Iterator[SimulatedDevice]:
    """Yield the device anew, with nothing counted; its name is `NAME`."""
    global _device  # noqa: PLW0603  torch calls the class of tensors, which knows one device
    before, _device = _device, SimulatedDevice(float64=float64)
    try:
        yield _device
    finally:
        _device = before


@contextmanager
def claimed_device(name: str) -> Iterator[torch.device]:
    """Yield the device, whatever its name: in place of `training.device.claimed_device`."""
    del name
    yield torch.device(NAME, 0)


def _on_host(values: Any) -> Any:
    """Return values with the tensors of the host in place of those of the device."""
    return _mapped(values, SimulatedTensor, lambda tensor: tensor.host)


def _mapped(values: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return values, which lists and tuples may hold, with a function of those of a kind."""
    if isinstance(values, kind):
        return function(values)
    if isinstance(values, list | tuple):
        return type(values)([_mapped(value, kind, function) for value in values])
    return values


def _leaves(values: Sequence[Any]) -> Iterator[Any]:
    """Yield the values that are no lists or tuples, of all that these hold."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


def _is_view(func: Any) -> bool:
    return getattr(func, "is_view", False)


def _require_one_device(func: Any, args: Any, kwargs: Any) -> None:
    """Require what CUDA requires of arguments: all on the device, except scalars that are only
    read, and indices of a tensor that is there.
    """
    accepted: Sequence[Tensor | None] = []
    if func in INDEXING and isinstance(args[0], SimulatedTensor):
        accepted = args[1]
    for leaf in _leaves([*args, *kwargs.values()]):
        if isinstance(leaf, torch.Generator):
            raise RuntimeError(f"{func}: expected a generator of {NAME}, got one of {leaf.device}")
        if _is_of_host(leaf) and leaf.ndim > 0 and not any(leaf is index for index in accepted):
            raise RuntimeError(f"{func}: expected all tensors on {NAME}, got one on {leaf.device}")
    schema = getattr(func, "_schema", None)
    for argument, value in zip(schema.arguments if schema else [], args, strict=False):
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        if is_written and _is_of_host(value):
            raise RuntimeError(f"{func}: a tensor on {value.device} cannot take a result of {NAME}")


def _is_of_host(value: Any) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, SimulatedTensor)


class _Module:
    """The attribute of torch with the device's name, of which torch and the workflow ask this."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Do nothing: there is no generator of the device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_device_name(self, device: torch.device) -> str:
        del device
        return "in host memory"

    def max_memory_allocated(self, device: torch.device) -> int:
        del device
        return 0


def _empty(size: Sequence[int], **options: Any) -> Tensor:
    del options["device"]
    return _device.allocated(torch.empty(size, **options))


def _empty_strided(size: Sequence[int], stride: Sequence[int], **options: Any) -> Tensor:
    del options["device"]
    return _device.allocated(torch.empty_strided(size, stride, **options))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    return _device.overwritten(target, source, non_blocking)


def _conv2d_in_bfloat16(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *options: Any
) -> Tensor:
    """Compute a convolution as CUDA does where autocast is on; the workflow has it there only."""
    lower = [None if each is None else each.to(torch.bfloat16) for each in (inputs, weight, bias)]
    with torch.autocast(NAME, enabled=False):
        return torch.conv2d(*lower, *options)  # type: ignore[arg-type]


if not WHY_NOT:
    getattr(backend_registration, EXPERIMENTAL)(NAME, backend_module=_Module())
    _library = torch.library.Library("aten", "IMPL")
    _library.impl("empty.memory_format", _empty, "PrivateUse1")
    _library.impl("empty_strided", _empty_strided, "PrivateUse1")
    _library.impl("_copy_from", _copy_from, "PrivateUse1")
    for _name in OF_ITS_OWN:
        _library.impl(_name, _device.computed, "PrivateUse1")
    _library.impl("conv2d", _conv2d_in_bfloat16, "AutocastPrivateUse1")
    _others = torch.library.Library("_", "IMPL")
    _others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
