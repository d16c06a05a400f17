"""Times two computations side by side, so that a ratio does not depend on how busy or how fast the
machine is.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch

Prepared = Callable[[], Callable[[], object]]
"""Makes everything anew that a computation needs, and returns the computation, which alone is
timed.
"""


class Ratio(NamedTuple):
    """The median of the ratios of paired runs, the smallest and the largest of them."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g} to {self.high:.3g})"

    @classmethod
    def of(cls, ratios: list[float]) -> "Ratio":
        """Return the ratio that these were measured as."""
        return cls(median(ratios), min(ratios), max(ratios))

    def scaled(self, factor: float) -> "Ratio":
        """Return the ratio times a factor."""
        return Ratio(*(factor * value for value in self))


def paired(first: Prepared, second: Prepared, repeats: int = 5) -> Ratio:
    """Return how many times as long as `second` the `first` takes: runs in pairs, after one of each
    to warm up.
    """
    seconds(first)
    seconds(second)
    return Ratio.of([seconds(first) / seconds(second) for _ in range(repeats)])


def seconds(prepared: Prepared) -> float:
    """Return how long a computation takes, on a GPU until that is done."""
    computation = prepared()
    _wait_for_gpu()
    began = time.perf_counter()
    computation()
    _wait_for_gpu()
    return time.perf_counter() - began


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
