"""The files in `configs/`: loading, putting a scale's values in place, errors that name file and key.

`paper.yaml` holds every value; the file of another scale, and each alternative in `sensitivity.yaml`, holds only what
it changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from lowrank_dynamics.config.data.kinds import Stage
from lowrank_dynamics.config.models import Settings
from lowrank_dynamics.config.study import DECLARED, Study
from lowrank_dynamics.errors import UserError

SCALES = ("smoke", "laptop", "paper")
Overlay = tuple[Path, dict[str, Any]]
"""A file and what it puts in place of other values."""
REQUESTS = {"scale": SCALES, "strict_claims": ("true", "false"), "allow_unverified_data": ("true", "false")}
"""What `snakemake --config key=value` may ask for."""


class Request(NamedTuple):
    """What a run is asked for.

    `strict_claims` lets a claim that is not reproduced fail it; `allow_unverified_data` lets it use data that it cannot
    check.
    """

    scale: str
    strict_claims: bool
    allow_unverified_data: bool


def requested(config: Mapping[str, Any]) -> Request:
    """Return what is asked for with `snakemake --config`, laptop scale and no switch if nothing is.

    Raises UserError for any other key or value.
    """
    for key, value in config.items():
        if key not in REQUESTS:
            raise UserError(f"--config {key}: unknown key; there may be {', '.join(REQUESTS)}")
        if str(value).lower() not in REQUESTS[key]:
            raise UserError(f"--config {key}={value}: choose one of {', '.join(REQUESTS[key])}")
    asked = {key: str(value).lower() for key, value in config.items()}
    switches = (asked.get(name) == "true" for name in ("strict_claims", "allow_unverified_data"))
    return Request(asked.get("scale", "laptop"), *switches)


def split_scale(name: str) -> tuple[str, str]:
    """Return the scale and the alternative in `laptop/sensitivity/width_64`; the latter is empty in `laptop`."""
    scale, _, alternative = name.partition("/sensitivity/")
    return scale, alternative


def measured_scale(name: str) -> str:
    """Return whose metrics the claims of `name` are about: its own, but those of the scale for the declared values."""
    scale, alternative = split_scale(name)
    return scale if alternative == DECLARED else name


def load_settings(scale: str, folder: Path = Path("configs")) -> Settings:
    """Load `paper.yaml` and put the values of the scale's own file in their places.

    A scale's name may go on with `/sensitivity/<alternative>`: then the values of that alternative of the sensitivity
    study are put in their places too, and only the experiments that it changes are there.
    Raises UserError, which names the file and the key and says what would be right, for a missing file, an unknown
    key, a value of the wrong type or an impossible one.
    """
    scale, alternative = split_scale(scale)
    if scale not in SCALES:
        raise UserError(f"there is no scale {scale!r}; choose one of {', '.join(SCALES)}")
    base_file = folder / "paper.yaml"
    merged = read_yaml(base_file)
    overlays = [] if scale == "paper" else [(folder / f"{scale}.yaml", read_yaml(folder / f"{scale}.yaml"))]
    if alternative:
        changes = load_study(folder).changes(alternative)
        merged["experiments"] = {name: merged["experiments"][name] for name in changes if name in merged["experiments"]}
        overlays = [(file, _within(overlay, set(changes))) for file, overlay in overlays]
        overlays.append((folder / "sensitivity.yaml", {"experiments": changes}))
    for file, overlay in overlays:
        merged = _merged(merged, overlay, file, ())
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise as_user_error(error, merged, base_file, overlays) from error


def load_with_study(scale: str, folder: Path = Path("configs")) -> dict[str, Settings]:
    """Return the settings of a scale and of every alternative in its sensitivity study, by name.

    Raises UserError as `load_settings` does, so that a mistake in any of them is found before a job starts.
    """
    study = load_study(folder)
    settings = load_settings(scale, folder)
    study.check(settings.experiments)
    alternatives = [f"{scale}/sensitivity/{name}" for name in (DECLARED, *study.alternatives)]
    return {scale: settings, **{name: load_settings(name, folder) for name in alternatives}}


def stored_at(settings: Mapping[str, Settings], scale: str, experiment: str, stage: Stage) -> str:
    """Return where, below `results`, the images or the features that an experiment uses are stored, without the ending.

    They are those of the first experiment with the same ones, at the scale itself where an alternative is asked for.
    `settings` are those of `load_with_study`.
    """
    wanted = settings[scale].experiment(experiment).data.choice(stage)
    for place in (split_scale(scale)[0], scale):
        for name, other in settings[place].experiments.items():
            if other.data.choice(stage) == wanted:
                return f"{place}/{stage}/{name}"
    raise AssertionError("an experiment has its own data")


def load_study(folder: Path = Path("configs")) -> Study:
    """Load `sensitivity.yaml`. Raises UserError, which names the key, for anything that is not as it must be."""
    file = folder / "sensitivity.yaml"
    content = read_yaml(file)
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise as_user_error(error, content, file) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values in a file. Raises UserError, which names it, if it is missing or holds none."""
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run from the project's root, or restore the file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold keys with values, not {type(content).__name__}")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any], file: Path, path: tuple[str, ...]) -> dict[str, Any]:
    """Return `base` with `changes` in their places; `changes` may have no key and no subtree that `base` lacks."""
    merged = dict(base)
    for key, value in changes.items():
        where = ".".join((*path, str(key)))
        if key not in base:
            raise UserError(f"{file}: {where}: unknown key; there may be {', '.join(map(str, base))}")
        if isinstance(base[key], dict) != isinstance(value, dict):
            raise UserError(f"{file}: {where}: must {'hold keys' if isinstance(base[key], dict) else 'be one value'}")
        merged[key] = _merged(base[key], value, file, (*path, str(key))) if isinstance(value, dict) else value
    return merged


def _within(overlay: dict[str, Any], experiments: set[str]) -> dict[str, Any]:
    """Return what a scale's file changes of the given experiments."""
    changes = overlay.get("experiments", {})
    return {**overlay, "experiments": {name: change for name, change in changes.items() if name in experiments}}


def as_user_error(error: ValidationError, content: Any, file: Path, overlays: Sequence[Overlay] = ()) -> UserError:
    """Return an error with a sentence for each problem: which file and key it is about, and what would be right.

    `content` is what was validated: that of `file` with the values of the `overlays` in their places.
    """
    return UserError("\n".join(_sentence(problem, content, file, overlays) for problem in error.errors()))


def _sentence(problem: Any, merged: Any, base_file: Path, overlays: Sequence[Overlay]) -> str:
    """Say which file and which key a problem found by pydantic is about, and what would be right."""
    keys = list(_key_path(problem["loc"], merged))
    file = _file_at_fault(keys, base_file, overlays)
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    is_value = problem["type"] not in ("extra_forbidden", "missing", "value_error")
    found = f", is {problem['input']!r}" if is_value else ""
    message = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(problem["type"], message)
    return f"{file}: {'.'.join(map(str, keys))}: {message}{found}"


def _file_at_fault(keys: list[int | str], base_file: Path, overlays: Sequence[Overlay]) -> str:
    """Return the last file that sets the value at `keys`, or the base with the last that sets something below it."""
    for file, overlay in reversed(overlays):
        found: Any = overlay
        for key in keys:
            found = found.get(key, {}) if isinstance(found, dict) else found
        if found != {}:
            return f"{base_file} with {file}" if isinstance(found, dict) else str(file)
    return str(base_file)


def _key_path(location: tuple[int | str, ...], merged: Any) -> Iterator[int | str]:
    """Yield the parts of a pydantic location that are keys of the file, without the tags of its unions."""
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(merged, dict) and part not in merged and not last:
            continue
        yield part
        merged = merged[part] if isinstance(merged, dict) and part in merged else None
