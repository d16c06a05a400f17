"""The GPUs of known speed and memory, by the names that the setting `gpu` accepts."""

import math
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator


class Card(NamedTuple):
    """One GPU model: its vendor's peak operations per second, by dtype, and its memory in
    megabytes.

    Peaks are without tensor cores, which training does not use, except for bfloat16.
    """

    float32: float
    float64: float
    bfloat16: float
    megabytes: float


CARDS = {
    "t4": Card(8.1e12, 2.5e11, 8.1e12, 16_000),
    "v100": Card(1.4e13, 7.0e12, 1.4e13, 16_000),
    "rtx_3090": Card(3.56e13, 5.6e11, 7.1e13, 24_000),
    "rtx_4090": Card(8.26e13, 1.29e12, 1.65e14, 24_000),
    "a100": Card(1.95e13, 9.7e12, 3.12e14, 40_000),
    "a100_80gb": Card(1.95e13, 9.7e12, 3.12e14, 80_000),
    "l40s": Card(9.16e13, 1.43e12, 3.62e14, 48_000),
    "h100": Card(6.7e13, 3.4e13, 9.89e14, 80_000),
    "h200": Card(6.7e13, 3.4e13, 9.89e14, 141_000),
}
"""From the data sheets; T4 and V100 have no bfloat16 unit."""
SHARES = {"float32": 0.5, "float64": 0.5, "bfloat16": 0.3}
"""The share of its peak that a card reaches in products of large matrices; tensor cores wait for
memory.
"""
SLOWEST = 1e9
"""The fewest operations per second that a number may state; fewer are a typo."""
DOUBLE = 32
"""The assumed slowdown from single to double precision for a GPU given as operations per second."""


def known_gpu(value: object) -> object:
    """Return the name of a card, or operations per second as a number. Raises ValueError
    otherwise.
    """
    if isinstance(value, str) and value in CARDS:
        return value
    try:
        operations = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        operations = math.nan
    if not (SLOWEST <= operations < math.inf):
        raise ValueError(f"{value!r} is neither operations a second nor one of {', '.join(CARDS)}")
    return operations


Gpu = Annotated[str | float, BeforeValidator(known_gpu)]


def speed(gpu: str | float, dtype: str) -> float:
    """Return operations per second in large matrix products: a share of a card's peak, or the
    number itself.
    """
    if isinstance(gpu, str):
        return SHARES[dtype] * float(getattr(CARDS[gpu], dtype))
    return gpu / DOUBLE if dtype == "float64" else gpu


def memory(gpu: str | float) -> float:
    """Return the named GPU's memory in megabytes; one given as operations per second has no
    limit.
    """
    return CARDS[gpu].megabytes if isinstance(gpu, str) else math.inf
