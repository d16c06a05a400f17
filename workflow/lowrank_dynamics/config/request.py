"""What `snakemake --config` asks of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lowrank_dynamics.config.cards import Gpu, known_gpu
from lowrank_dynamics.config.folder import CONFIGS, scales
from lowrank_dynamics.config.overlay import assignments
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError

LIMITS = ("trials", "trials_per_job")
SWITCHES = ("strict_claims", "allow_unverified_data")


class Request(NamedTuple):
    """What is asked of a run.

    Whether to fail if a claim is not reproduced and to use data that cannot be checked; the most
    trials to train per experiment, and per job; the GPU that jobs request time and memory for; and
    settings to change, each as `path=value`.
    """

    scale: str = "laptop"
    strict_claims: bool = False
    allow_unverified_data: bool = False
    trials: int | None = None
    trials_per_job: int | None = None
    gpu: Gpu | None = None
    set: tuple[str, ...] = ()

    def limited(self, settings: Settings) -> Settings:
        """Return settings with the limits on trials, and the GPU, that are asked."""
        return settings.limited(self.trials, self.trials_per_job).on(self.gpu)


def requested(config: Mapping[str, Any], folder: Path = CONFIGS) -> Request:
    """Return what `--config` asks: by default laptop scale, no switch, no limit, no change.

    Raises UserError for an invalid key or value.
    """
    asked: dict[str, Any] = {}
    for key, value in config.items():
        if key not in Request._fields:
            choices = ", ".join(Request._fields)
            raise UserError(f"--config {key}: unknown key; the keys are {choices}")
        try:
            asked[key] = _checked(key, value, folder)
        except ValueError as error:
            raise UserError(f"--config {key}={value}: {error}") from error
    return Request(**asked)


def _checked(key: str, value: object, folder: Path) -> object:
    """Return the value of a key. Raises ValueError, stating what is valid, for any other."""
    if key == "gpu":
        return known_gpu(value)
    if key == "set":
        return assignments(value)
    if key in LIMITS:
        return _count(str(value))
    if key in SWITCHES:
        return _choice(str(value).lower(), ["true", "false"]) == "true"
    return _choice(str(value), scales(folder))


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError("it must be a whole number above 0")
    return int(text)


def _choice(text: str, choices: list[str]) -> str:
    if text not in choices:
        raise ValueError(f"choose one of {', '.join(choices)}")
    return text
