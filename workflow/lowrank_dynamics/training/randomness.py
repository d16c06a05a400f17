"""Explicit random generators: one for each (experiment, purpose, trial), and no global seed
anywhere.
"""

import hashlib
from typing import Literal

import torch

Purpose = Literal[
    "data",
    "weights",
    "low_rank_weights",
    "factors",
    "complement",
    "projection",
    "activation",
    "batches",
    "first_batch",
]


def trial_generator(seed: int, experiment: str, purpose: Purpose, trial: int) -> torch.Generator:
    """Return the CPU generator that draws everything of one purpose in one trial.

    The state depends on nothing but the four arguments. So the cells of an experiment share data
    and initial weights trial by trial, and a further trial or a further purpose changes none of the
    other draws.
    """
    key = f"{seed}/{experiment}/{purpose}/{trial}".encode()
    state = int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(state)
