"""The rows about a GPU: full steps on as many images as at paper scale, against what the device can
do.
"""

from collections.abc import Iterator

import torch

from benchmarks.cells import setup, training
from benchmarks.loops import bare_products
from benchmarks.rows import A_STEP_EACH, FASHION, FEW, FULL, LOW_RANK, MANY, Row, judged, steps
from benchmarks.timing import paired

REPEATED = 50
"""How often the 1,000 images of the sample make the 50,000 of the paper."""
PAPER = {"training": {"learning_rate": 1e-5}, "trials": 5}


def gpu_rows(device: torch.device, times: int = REPEATED) -> Iterator[Row]:
    """Yield every row, each measured when it is asked for."""
    few, many = (steps(count) for count in (FEW, MANY))
    full = setup(FASHION, FULL, PAPER, few, device=device, times=times)
    products = paired(bare_products(full), training(full)).scaled(100)
    yield judged(
        "full step: the part that its matrix products alone would take",
        products,
        "at least",
        70,
        " %",
    )
    low_rank = setup(FASHION, LOW_RANK, PAPER, many, device=device, times=times)
    ratio = paired(training(full), training(low_rank)).scaled(A_STEP_EACH)
    yield Row("full step / low-rank step at r = 20", str(ratio))
    for what, cell, change in (("full", FULL, few), ("low-rank", LOW_RANK, many)):
        five, one = (
            setup(FASHION, cell, PAPER, change, {"trials": trials}, device=device, times=times)
            for trials in (5, 1)
        )
        yield Row(
            f"{what} step, 5 trials stacked / 1 trial", str(paired(training(five), training(one)))
        )
