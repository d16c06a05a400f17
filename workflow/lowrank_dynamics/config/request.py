"""What `snakemake --config` asks of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from lowrank_dynamics.config.cards import Gpu
from lowrank_dynamics.config.folder import CONFIGS, scales
from lowrank_dynamics.config.overlay import assignments
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError


def _count(value: object) -> int:
    text = str(value)
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError("it must be a whole number above 0")
    return int(text)


def _switch(value: object) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError("choose one of true, false")
    return text == "true"


OptionalCount = Annotated[int | None, BeforeValidator(_count)]
Switch = Annotated[bool, BeforeValidator(_switch)]
"""Both as Snakemake passes them: a value of YAML, or text."""


class Request(BaseModel):
    """What is asked of a run.

    Whether to fail if a claim is not reproduced, to use data that cannot be checked, and to keep
    the trained weights; the most trials to train per experiment, and per job; the GPU that jobs
    request time and memory for; and settings to change, each as `path=value`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Annotated[str, BeforeValidator(str)] = "laptop"
    strict_claims: Switch = False
    allow_unverified_data: Switch = False
    keep_weights: Switch = False
    trials: OptionalCount = None
    trials_per_job: OptionalCount = None
    gpu: Gpu | None = None
    set: Annotated[tuple[str, ...], BeforeValidator(assignments)] = ()

    def limited(self, settings: Settings) -> Settings:
        """Return settings with the limits on trials, and the GPU, that are asked."""
        return settings.limited(self.trials, self.trials_per_job).on(self.gpu)


def require_once(words: Sequence[str]) -> None:
    """Raise UserError if a command line has a key of `--config` twice, of which Snakemake takes the
    last.
    """
    keys: list[str] = []
    of_config = False
    for word in words:
        if word.startswith("-"):
            of_config = word in ("--config", "-C")
        elif of_config and "=" in word:
            keys.append(word.partition("=")[0])
    for key in keys:
        if keys.count(key) > 1:
            hint = '; separate changes by spaces: set="A B"' if key == "set" else ""
            raise UserError(f"--config {key} is given twice{hint}")


def requested(config: Mapping[str, Any], folder: Path = CONFIGS) -> Request:
    """Return what `--config` asks: by default laptop scale, no switch, no limit, no change.

    Raises UserError for an invalid key or value.
    """
    for key in config:
        if key not in Request.model_fields:
            choices = ", ".join(Request.model_fields)
            raise UserError(f"--config {key}: unknown key; the keys are {choices}")
    try:
        request = Request.model_validate(config)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"--config {key}={config[key]}: {message}") from error
    known = scales(folder)
    if request.scale not in known:
        raise UserError(f"--config scale={request.scale}: choose one of {', '.join(known)}")
    return request
