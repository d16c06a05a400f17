"""The activation functions by name: where each is implemented, how a figure labels it, whether it is smooth.

To add one, add its line to `ACTIVATIONS`. This module imports no torch, so that settings are checked quickly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Activation:
    """One activation phi with phi(0) = 0.

    `target` names the module class as `package:Class`; `smooth` says whether phi has bounded first and second
    derivatives (section 3); the class of a `random` activation takes the generators of the stacked trials, the others
    take the `options`.
    """

    target: str
    label: str
    smooth: bool
    random: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


IN_PLACE = {"inplace": True}
"""For those whose value tells their derivative: they overwrite what they are given, which saves memory and time."""

ACTIVATIONS = {
    "elu": Activation("torch.nn:ELU", "ELU", smooth=True, options=IN_PLACE),
    "gelu": Activation("torch.nn:GELU", "GELU", smooth=True),
    "silu": Activation("torch.nn:SiLU", "SiLU", smooth=True),
    "tanh": Activation("torch.nn:Tanh", "tanh", smooth=True),
    "relu": Activation("torch.nn:ReLU", "ReLU", smooth=False, options=IN_PLACE),
    "leaky_relu": Activation("torch.nn:LeakyReLU", "Leaky-ReLU", smooth=False, options=IN_PLACE),
    "rrelu": Activation("lowrank_dynamics.networks:RReLU", "RReLU", smooth=False, random=True),
    "identity": Activation("torch.nn:Identity", "identity", smooth=True),
}
