"""The GPUs whose speed and memory are known, by the names that the setting `gpu` may have."""

import math
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator


class Card(NamedTuple):
    """One model of GPU: the most operations a second that its maker states, by dtype, and its memory in megabytes.

    Without tensor cores, which training does not use, except for bfloat16.
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
"""As data sheets have it; T4 and V100 have no unit for bfloat16."""
DOUBLE = 32
"""How many times slower than single precision a card of given operations a second is taken to be in double."""


def known_gpu(value: object) -> object:
    """Return the name of a card, or operations a second as a number. Raises ValueError for anything else."""
    if value in CARDS:
        return value
    try:
        operations = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        operations = math.nan
    if not (0 < operations < math.inf):
        raise ValueError(f"{value!r} is neither operations a second nor one of {', '.join(CARDS)}")
    return operations


Gpu = Annotated[str | float, BeforeValidator(known_gpu)]


def card(gpu: str | float) -> Card:
    """Return what is known of the GPU that the setting names; of operations a second, no memory."""
    if isinstance(gpu, str):
        return CARDS[gpu]
    return Card(gpu, gpu / DOUBLE, gpu, math.inf)
