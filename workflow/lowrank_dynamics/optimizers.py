"""The optimizers by name: where each is implemented, how a figure labels it, and its own options.

To add one of `torch.optim`, add its line to `OPTIMIZERS`. This module imports no torch, so that settings are checked
quickly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Optimizer:
    """One optimizer: its class as `package:Class`, and its options besides learning rate and weight decay."""

    target: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)


OPTIMIZERS = {
    "gradient_descent": Optimizer("lowrank_dynamics.stacked_optimizer:GradientDescent", "gradient descent"),
    "sgd_momentum": Optimizer("torch.optim:SGD", "SGD with momentum", {"momentum": 0.9}),
    "adam": Optimizer("torch.optim:Adam", "Adam"),
    "muon": Optimizer("torch.optim:Muon", "Muon"),
}
