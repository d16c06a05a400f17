"""The activation functions by name: where each is implemented, how a figure labels it, whether it is smooth.

To add one, add its line to `ACTIVATIONS`. This module imports no torch, so that settings are checked quickly.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Activation:
    """One activation phi with phi(0) = 0.

    `target` names the module class as `package:Class`; `smooth` says whether phi has bounded first and second
    derivatives (section 3); the class of a `random` activation takes the generators of the stacked trials.
    """

    target: str
    label: str
    smooth: bool
    random: bool = False


ACTIVATIONS = {
    "elu": Activation("torch.nn:ELU", "ELU", smooth=True),
    "gelu": Activation("torch.nn:GELU", "GELU", smooth=True),
    "silu": Activation("torch.nn:SiLU", "SiLU", smooth=True),
    "tanh": Activation("torch.nn:Tanh", "tanh", smooth=True),
    "relu": Activation("torch.nn:ReLU", "ReLU", smooth=False),
    "leaky_relu": Activation("torch.nn:LeakyReLU", "Leaky-ReLU", smooth=False),
    "rrelu": Activation("lowrank_dynamics.networks:RReLU", "RReLU", smooth=False, random=True),
    "identity": Activation("torch.nn:Identity", "identity", smooth=True),
}
