"""The devices that networks are trained on, by the names that the setting `device` accepts."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

DeviceName = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
UNSUPPORTED = {
    "mps": "Apple's GPUs have no float64, in which subspaces are computed",
    "xpu": "nothing has been tried on Intel's GPUs",
}
"""Devices that torch knows, and why they are not supported."""


def require_supported(name: object) -> object:
    """Return a name. Raises ValueError, with the reason, for a device that torch knows and that is
    not supported.
    """
    reason = UNSUPPORTED.get(str(name))
    if reason is not None:
        raise ValueError(
            f"the device {name} is not supported, because {reason}; choose one of"
            f" {', '.join(DEVICES)}"
        )
    return name


Device = Annotated[DeviceName, BeforeValidator(require_supported)]
