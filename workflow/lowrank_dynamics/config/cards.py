"""The GPUs of known speed and memory, by the names that the setting `gpu` accepts."""

import math
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator


class Card(NamedTuple):
    """The operations per second that large matrix products reach on a device, by dtype, and its
    memory in megabytes.
    """

    float32: float
    float64: float
    bfloat16: float
    megabytes: float = math.inf


CPU = Card(6e10, 4e10, 6e10)
"""One core, as measured in laptop runs; a test holds it to a factor of three."""
CARDS = {
    "t4": Card(4.05e12, 1.25e11, 4.05e12, 16_000),
    "v100": Card(7.0e12, 3.5e12, 7.0e12, 16_000),
    "rtx_3090": Card(1.78e13, 2.8e11, 1.78e13, 24_000),
    "rtx_4090": Card(4.13e13, 6.45e11, 4.13e13, 24_000),
    "a100": Card(9.75e12, 4.85e12, 7.8e13, 40_000),
    "a100_80gb": Card(9.75e12, 4.85e12, 7.8e13, 80_000),
    "l40s": Card(4.58e13, 7.15e11, 9.05e13, 48_000),
    "h100": Card(3.35e13, 1.7e13, 2.47e14, 80_000),
    "h200": Card(3.35e13, 1.7e13, 2.47e14, 141_000),
}
"""Half the peaks of the data sheets without tensor cores, which training does not use; in bfloat16
a quarter of those with them, because they wait for memory, if that is more.
"""
SLOWEST = 1e9
"""The fewest operations per second that a number may state; fewer are a typo."""


def known_gpu(value: object) -> str | float:
    """Return the name of a card, or operations per second as a number. Raises ValueError
    otherwise.
    """
    if str(value) in CARDS:
        return str(value)
    try:
        operations = float(str(value))
    except ValueError:
        operations = math.nan
    if not SLOWEST <= operations < math.inf:
        raise ValueError(f"{value!r} is neither operations a second nor one of {', '.join(CARDS)}")
    return operations


Gpu = Annotated[str | float, BeforeValidator(known_gpu)]


def card(gpu: str | float) -> Card:
    """Return what is known of a GPU; one given as operations per second, in single precision, has
    no limit of memory, and is 32 times slower in double precision.
    """
    return CARDS[gpu] if isinstance(gpu, str) else Card(gpu, gpu / 32, gpu)
