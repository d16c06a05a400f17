"""Where networks are trained: the CPU, or a GPU reserved for one job."""

import ctypes
import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lowrank_dynamics.config.devices import DEVICES, require_supported
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.training import gpus

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"
"""What torch's RuntimeError says where the host has too little memory."""
FAILED = ("CUDA error", "CUDA driver error", "cuDNN error")
"""How torch begins to say that a GPU or one of its libraries failed."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of mallopt(3): how much freed memory is kept, and how many blocks lie apart, which are
never kept.
"""


def use_cpu(threads: int) -> None:
    """Limit torch to `threads` threads, and keep the memory that a step frees for the next one.

    Otherwise the C library of Linux returns large blocks to the system, which clears all of their
    pages when the next step requests them: up to a third of the time of a training, and a sixth of
    that of the heads of figure 7, whose gradients have 140 MB. Other systems are left as they are.
    """
    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)


@contextmanager
def claimed_device(name: str) -> Iterator[torch.device]:
    """Yield the device that the setting `device` names: `auto` is a GPU if there is one, else the
    CPU.

    Of several GPUs it is one that no other job of this project and user has; it waits while all are
    taken. Raises UserError if `cuda` is named and there is none, and for any other name, with the
    reason if torch knows it.

    On cuda, convolutions are kept to algorithms that give the same numbers every time, in full
    precision; where less is wanted, the setting `mixed_precision` says so.
    """
    _require_known(name)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("device is cuda, but torch finds no such device; set it to auto or cpu")
    if name == "auto" and not available:
        _warn_of_unused_gpu()
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    if name == "cpu" or not available:
        yield CPU
        return
    names = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        names.append(str(properties.uuid))
    with gpus.claimed(names) as index:
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


def _require_known(name: str) -> None:
    try:
        require_supported(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    if name not in DEVICES:
        raise UserError(f"there is no device {name!r}; choose one of {', '.join(DEVICES)}")


def _warn_of_unused_gpu() -> None:
    """Log that Slurm gave this job a GPU which torch does not find, if so."""
    if os.environ.get("SLURM_GPUS_ON_NODE", "0") != "0":
        log.warning(
            "Slurm gave this job a GPU, but torch %s finds none: it runs on the CPU",
            torch.__version__,
        )


def description(device: torch.device) -> str:
    """Return the name of a device in the provenance: `cpu`, or its kind and model."""
    if device.type == "cpu":
        return "cpu"
    model = torch.get_device_module(device).get_device_name(device)
    return f"{device.type} ({model})"


@contextmanager
def failures_told(title: str, device: torch.device, smaller: str) -> Iterator[None]:
    """Raise UserError where the device has too little memory, which says to make the computation
    of this `title` `smaller`, and where the device itself fails, after which it answers nothing.
    """
    name = description(device)
    too_large = UserError(f"{title} does not fit into the memory of the device {name}; {smaller}")
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise too_large from error
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if NO_MEMORY in reason:
            raise too_large from error
        if not isinstance(error, torch.AcceleratorError) and not reason.startswith(FAILED):
            raise
        raise UserError(
            f"{title} ended because the device {name} failed ({reason}); run the same command again"
        ) from error


def peak_megabytes(device: torch.device) -> dict[str, int]:
    """Return this process's peak memory so far, on the host and, if it trains there, on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peaks = {"host": peak * unit // 2**20}
    if device.type != "cpu":
        peaks["gpu"] = torch.get_device_module(device).max_memory_allocated(device) // 2**20
    return peaks
