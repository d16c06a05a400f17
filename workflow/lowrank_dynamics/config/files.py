"""The files in `configs/`: loading, applying a scale's changes, errors that name file and key.

`paper.yaml` holds every value. Any other file there is a scale; it holds only its changes, as does
each alternative in `sensitivity.yaml`. `beyond.yaml` holds the experiments of our own studies at
every scale.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lowrank_dynamics.config.base import merged
from lowrank_dynamics.config.cards import Gpu, known_gpu
from lowrank_dynamics.config.messages import Overlay, validated
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.study import DECLARED, Beyond, Study
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.errors import UserError

_CHECKOUT = Path(__file__).parents[3] / "configs"
CONFIGS = Path(os.path.relpath(_CHECKOUT)) if _CHECKOUT.is_dir() else Path("configs")
"""The folder of the settings: in the project that this package is part of, or else in the working
directory.
"""
PAPER, CLAIMS, STUDY = "paper.yaml", "claims.yaml", "sensitivity.yaml"
BEYOND, FINDINGS = "beyond.yaml", "findings.yaml"
SCALE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = ("data", "reference")
"""Folder names in `results` that no scale may have."""


class Request(NamedTuple):
    """What is requested of a run.

    Whether to fail if a claim is not reproduced and to use data that cannot be checked; the most
    trials to train per experiment, and per job; and the GPU that jobs request time and memory for.
    """

    scale: str
    strict_claims: bool = False
    allow_unverified_data: bool = False
    trials: int | None = None
    trials_per_job: int | None = None
    gpu: Gpu | None = None


def scales(folder: Path = CONFIGS) -> list[str]:
    """Return the names of all scales: the paper's, and that of every other settings file in the
    folder.

    Raises UserError for a file whose name would not work as a results folder in every command line.
    """
    others = {
        path.stem
        for path in folder.glob("*.yaml")
        if path.name not in (PAPER, CLAIMS, STUDY, BEYOND, FINDINGS)
    }
    if unfit := sorted(name for name in others if not SCALE.fullmatch(name)):
        raise UserError(
            f"{folder / unfit[0]}.yaml: a scale's name has letters, digits, _, - and . only; rename"
            " or remove the file"
        )
    return [*sorted(others.difference(RESERVED)), "paper"]


def requested(config: Mapping[str, Any], folder: Path = CONFIGS) -> Request:
    """Return what `snakemake --config` requests: by default laptop scale, no switch and no limit.

    Raises UserError for an invalid key or value.
    """
    asked: dict[str, Any] = {"scale": "laptop"}
    for key, value in config.items():
        if key not in Request._fields:
            raise UserError(
                f"--config {key}: unknown key; the keys are {', '.join(Request._fields)}"
            )
        try:
            asked[key] = _asked(key, value, folder)
        except ValueError as error:
            raise UserError(f"--config {key}={value}: {error}") from error
    return Request(**asked)


def _asked(key: str, value: object, folder: Path) -> object:
    """Return the value of a key of `Request`. Raises ValueError, stating what is valid, for any
    other.
    """
    if key == "gpu":
        return known_gpu(value)
    text = str(value) if key == "scale" else str(value).lower()
    if key in ("trials", "trials_per_job"):
        if not (text.isdecimal() and int(text) > 0):
            raise ValueError("it must be a whole number above 0")
        return int(text)
    choices = scales(folder) if key == "scale" else ["true", "false"]
    if text not in choices:
        raise ValueError(f"choose one of {', '.join(choices)}")
    return text if key == "scale" else text == "true"


def split_scale(name: str) -> tuple[str, str]:
    """Return a name's scale and alternative, as in `laptop/sensitivity/width_64`; the latter is
    empty otherwise.
    """
    scale, _, alternative = name.removesuffix("/beyond").partition("/sensitivity/")
    return scale, alternative


def is_beyond(name: str) -> bool:
    """Return whether a name, such as `laptop/beyond`, denotes the studies beyond the paper."""
    return name.endswith("/beyond")


def at_paper_scale(name: str) -> str:
    """Return the name of the same experiments at paper scale."""
    return "paper/beyond" if is_beyond(name) else "paper"


def statements_of(name: str, folder: Path = CONFIGS) -> Path:
    """Return the file of the statements a run is judged by: our findings for `laptop/beyond`, else
    the claims.
    """
    return folder / (FINDINGS if is_beyond(name) else CLAIMS)


def measured_scale(name: str) -> str:
    """Return whose metrics judge the claims of `name`: its own, or the scale's for the declared
    values.
    """
    scale, alternative = split_scale(name)
    return scale if alternative == DECLARED else name


def load_settings(scale: str, folder: Path = CONFIGS) -> Settings:
    """Load `paper.yaml` and apply the changes of the scale's own file.

    With the suffix `/sensitivity/<alternative>`, that alternative of the sensitivity study is
    applied too, and only the experiments that it changes are kept; with `/beyond`, only those of
    `beyond.yaml`. Raises UserError, naming the file, the key and what would be valid, for a missing
    file, an unknown key, or a value that is impossible or of the wrong type.
    """
    base, alternative = split_scale(scale)
    if base not in scales(folder):
        raise UserError(f"there is no scale {base!r}; choose one of {', '.join(scales(folder))}")
    file, own = folder / PAPER, folder / f"{base}.yaml"
    content = read_yaml(file)
    overlays = [] if base == "paper" else [Overlay(own, read_yaml(own))]
    beyond = load_beyond(folder) if is_beyond(scale) else None
    if beyond:
        file, content = folder / BEYOND, beyond.added_to(content)
        overlays += [Overlay(file, {"experiments": beyond.scales.get(base, {})})]
    settings = _resolved(content, file)
    chosen = beyond.experiments if beyond else settings["experiments"]
    if alternative:
        study = load_study(folder)
        chosen = study.changes(alternative)
        overlays += [
            Overlay(folder / STUDY, {"experiments": each}) for each in (study.experiments, chosen)
        ]
    for overlay in overlays:
        try:
            settings = merged(settings, overlay.content)
        except ValueError as error:
            raise UserError(f"{overlay.file}: {error}") from error
    settings["experiments"] = {
        name: each for name, each in settings["experiments"].items() if name in chosen
    }
    return validated(Settings, settings, file, overlays)


def load_with_study(
    scale: str,
    folder: Path = CONFIGS,
    trials: int | None = None,
    trials_per_job: int | None = None,
    gpu: Gpu | None = None,
) -> dict[str, Settings]:
    """Return the settings of a scale, its studies beyond the paper and every alternative of its
    sensitivity study.

    All are keyed by name, with these limits and this GPU. Raises UserError as `load_settings` does,
    so that a mistake in any is found before a job starts.
    """
    study = load_study(folder)
    settings = load_settings(scale, folder)
    study.check(settings.experiments)
    others = [
        f"{scale}/beyond",
        *(f"{scale}/sensitivity/{name}" for name in (DECLARED, *study.alternatives)),
    ]
    loaded = {scale: settings, **{name: load_settings(name, folder) for name in others}}
    return {name: each.limited(trials, trials_per_job).on(gpu) for name, each in loaded.items()}


def load_study(folder: Path = CONFIGS) -> Study:
    """Load `sensitivity.yaml`. Raises UserError, naming the key, for anything invalid."""
    return validated(Study, read_yaml(folder / STUDY), folder / STUDY)


def load_beyond(folder: Path = CONFIGS) -> Beyond:
    """Load `beyond.yaml`. Raises UserError, naming the key, for anything invalid."""
    path = folder / BEYOND
    beyond = validated(Beyond, read_yaml(path), path)
    if unknown := sorted(set(beyond.scales) - set(scales(folder))):
        raise UserError(f"{path}: scales.{unknown[0]}: there is no such scale in {folder}")
    return beyond


def _resolved(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the settings in `paper.yaml` with every experiment complete.

    An experiment starts from the one that its key `like` names, without that one's variants, or
    else from the block `defaults`.
    """
    experiments, defaults = content.get("experiments"), content.pop("defaults", {})
    if not isinstance(experiments, dict) or not isinstance(defaults, dict):
        raise UserError(f"{file}: experiments and defaults must hold keys")

    def complete(name: str, above: tuple[str, ...] = ()) -> Any:
        own = experiments[name]
        where = f"{file}: experiments.{name}"
        if not isinstance(own, dict):
            raise UserError(f"{where}: must hold keys")
        like = own.get("like")
        others = [other for other in experiments if other not in (*above, name)]
        if like is not None and like not in others:
            raise UserError(f"{where}.like: {like!r} is not one of {', '.join(others)}")
        base = complete(like, (*above, name)) if like else defaults
        changes = {key: value for key, value in own.items() if key != "like"}
        try:
            return merged(
                {key: base[key] for key in base if key != "variants"}, changes, known_only=False
            )
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error

    return {**content, "experiments": {name: complete(name) for name in experiments}}
