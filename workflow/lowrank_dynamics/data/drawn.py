"""Synthetic data: what each trial draws, by a module named in the settings, and whitens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lowrank_dynamics.config.data import DrawnData
from lowrank_dynamics.data.dataset import Dataset, Split
from lowrank_dynamics.data.loading import data_module


def drawn_dataset(data: DrawnData, generators: Sequence[torch.Generator]) -> Dataset:
    """Draw the data of each trial, one per generator: inputs (trials, d, N) in float64, no test
    split.

    The module's `draw` takes the settings and a generator, and returns inputs (d, N), float64, and
    labels (N,).
    """
    module = data_module(data.module)
    drawn_inputs, drawn_labels = [], []
    for generator in generators:
        trial_inputs, trial_labels = module.draw(data, generator)
        drawn_inputs.append(trial_inputs)
        drawn_labels.append(trial_labels)
    inputs = torch.stack(drawn_inputs)
    if data.whitened:
        inputs = whiten(inputs)
    train = Split(inputs, torch.stack(drawn_labels), data.classes)
    return Dataset(train, None, {"source": f"synthetic {data.source}"})


def whiten(inputs: Tensor) -> Tensor:
    """Return (X X')^{-1/2} X: (..., d, N), for which X X' = I_d to rounding (section 3). Needs N >=
    d.
    """
    left, _, right_t = torch.linalg.svd(inputs, full_matrices=False)
    return left @ right_t
