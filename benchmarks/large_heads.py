"""The rows about large heads: how long one call of `low_rank` takes, also with whole
decompositions.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rows import Row, judged
from benchmarks.savings import CLASSES
from benchmarks.timing import Ratio, paired
from lowrank_dynamics.models import subspaces
from lowrank_dynamics.models.low_rank import low_rank

Call = Callable[[], object]
COMPARED = (2304, 2048)
"""Inputs and width of a head that is decomposed as a whole, too: half of those of figure 7."""
TIMED = ((4608, 4096, 128, 5.0), (4608, 4096, 1_000, 5.0), (25_088, 4096, 128, 30.0))
"""Inputs, width, batch, and the seconds that a call may take: the heads of figures 7 and 15 at
paper scale, and the whole classifier of VGG-16.
"""


def large_head_rows() -> Iterator[Row]:
    """Yield every row, each measured when it is asked for."""
    call = low_rank_call(*COMPARED, 128)
    ratio = paired(lambda: partial(decomposed, call), lambda: call, repeats=3)
    yield Row(f"{_named(*COMPARED, 128)}: whole decompositions / leading subspaces", str(ratio))
    for inputs, width, batch, goal in TIMED:
        spent = _cpu_seconds(low_rank_call(inputs, width, batch))
        what = f"{_named(inputs, width, batch)}: CPU time of one call"
        yield judged(what, Ratio.of([spent]), "at most", goal, " s")


def low_rank_call(inputs: int, width: int, batch: int) -> Call:
    """Return the call for a head of three layers with ReLU, as PyTorch initializes it.

    Its inputs are drawn, and not negative, as features after a ReLU are.
    """
    torch.manual_seed(0)
    layers = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, CLASSES)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    features = torch.randn(batch, inputs).relu()
    labels = torch.arange(batch) % CLASSES
    return lambda: low_rank(model, lambda: functional.cross_entropy(model(features), labels))


def decomposed(call: Call) -> object:
    """Return what a call returns if every matrix is decomposed as a whole."""
    with mock.patch.object(subspaces, "LARGE", 1_000_000):
        return call()


def _cpu_seconds(call: Call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _named(inputs: int, width: int, batch: int) -> str:
    return f"low_rank of {inputs} - {width} - {width} - {CLASSES}, batch {batch:,}"
