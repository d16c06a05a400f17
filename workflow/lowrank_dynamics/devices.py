"""Where networks are trained."""

import torch

from lowrank_dynamics.errors import UserError


def chosen_device(name: str) -> torch.device:
    """Return the device that the setting `device` stands for: `auto` is cuda if there is one, else the processor.

    On cuda, convolutions are kept to algorithms that give the same numbers every time, in full precision; where less is
    wanted, the setting `mixed_precision` says so. Raises UserError if it is a device which is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("device is cuda, but torch finds no such device; set it to auto or cpu")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if available and name != "cpu" else "cpu")
