"""How settings are put over one another: base <- variant <- scale <- alternative <- `--config set`.

A layer holds changes of settings. What it changes in an experiment holds for all variants of that,
except for what it changes of one under `variants`.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lowrank_dynamics.config.blocks import Variant
from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.config.yaml import parsed_value
from lowrank_dynamics.errors import UserError


class Layer(NamedTuple):
    """Settings, or changes of settings, and what messages call the place where they stand."""

    source: str
    content: dict[str, Any]


def merged(
    base: Mapping[str, Any], changes: object, *, known_only: bool = True, where: str = ""
) -> dict[str, Any]:
    """Return `base` with the values of `changes` replacing its own, at any depth.

    Raises ValueError, prefixed with `where`, for a key that `base` lacks, if `known_only`, and for
    a block of keys in place of one value, or vice versa.
    """
    if not isinstance(changes, dict):
        raise ValueError(f"{where}: must hold keys")
    result = dict(base)
    for key, value in changes.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in base:
            if known_only:
                raise ValueError(_unknown(place, base))
            result[key] = value
        elif isinstance(base[key], dict):
            result[key] = merged(base[key], value, known_only=known_only, where=place)
        elif isinstance(value, dict):
            raise ValueError(f"{place}: must be one value")
        else:
            result[key] = value
    return result


def completed(paper: Layer, beyond: Layer) -> dict[str, Any]:
    """Return the settings of `paper.yaml`, and the experiments of another file, all complete.

    An experiment starts from the one that its key `like` names, without that one's variants, or
    else from the block `defaults`. Raises UserError, naming the file and the key, for what cannot
    be completed.
    """
    content = dict(paper.content)
    defaults = content.pop("defaults", {})
    if not isinstance(defaults, dict):
        raise UserError(f"{paper.source}: defaults: must hold keys")
    for key in beyond.content:
        if key != "experiments":
            raise UserError(f"{beyond.source}: {key}: unknown key; the keys are experiments")
    definitions: dict[str, Layer] = {}
    for layer in (paper, beyond):
        experiments = layer.content.get("experiments")
        if not isinstance(experiments, dict):
            raise UserError(f"{layer.source}: experiments: must hold keys")
        for name, experiment in experiments.items():
            where = f"{layer.source}: experiments.{name}"
            if name in definitions:
                raise UserError(f"{where}: {definitions[name].source} has one of this name")
            if not isinstance(experiment, dict):
                raise UserError(f"{where}: must hold keys")
            definitions[name] = Layer(layer.source, experiment)
    content["experiments"] = {
        name: _with_variants(_complete(name, definitions, defaults), definition.source, name)
        for name, definition in definitions.items()
    }
    return content


def overlaid(content: dict[str, Any], layer: Layer) -> dict[str, Any]:
    """Return complete settings with the changes of a layer.

    Raises UserError, naming the layer and the key, for a key that the settings lack.
    """
    changes = dict(layer.content)
    experiments = changes.pop("experiments", {})
    try:
        result = merged(content, changes)
        result["experiments"] = _with_changes(content["experiments"], experiments)
    except ValueError as error:
        raise UserError(f"{layer.source}: {error}") from error
    return result


def set_layer(text: str, content: Mapping[str, Any]) -> Layer:
    """Return the layer of one `path=value`, such as `experiments.case_study.training.steps=300`.

    Parts of the path are keys of the complete settings `content`; the value is YAML. Raises
    UserError for text without a path.
    """
    path, equals, value = text.partition("=")
    if not (equals and path.strip()):
        raise UserError(
            f"--config set: {text!r} is not path=value; see configs/paper.yaml for paths"
        )
    keys = _keys(path.strip(), content)
    changes: Any = parsed_value(value)
    for key in reversed(keys):
        changes = {key: changes}
    return Layer("--config set", changes)


def assignments(value: object) -> tuple[str, ...]:
    """Return each `path=value` of `--config set`: a list, or text with spaces between them."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise ValueError("it must be path=value, such as experiments.case_study.training.steps=300")


def _unknown(place: str, known: Mapping[str, Any]) -> str:
    return f"{place}: unknown key; the keys are {', '.join(map(str, known))}"


def _complete(
    name: str,
    definitions: Mapping[str, Layer],
    defaults: dict[str, Any],
    above: Sequence[str] = (),
) -> dict[str, Any]:
    """Return an experiment with all that it takes from the one that it is `like`."""
    source, content = definitions[name]
    where = f"experiments.{name}"
    changes = dict(content)
    like = changes.pop("like", None)
    base = defaults
    if like is not None:
        others = [other for other in definitions if other not in (*above, name)]
        if like not in others:
            choices = ", ".join(others)
            raise UserError(f"{source}: {where}.like: {like!r} is not one of {choices}")
        base = _complete(like, definitions, defaults, (*above, name))
        base.pop("variants", None)
    try:
        return merged(base, changes, known_only=False, where=where)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error


def _with_variants(experiment: dict[str, Any], source: str, name: str) -> dict[str, Any]:
    """Return an experiment with what variants may change in each of them, and only there."""
    result = dict(experiment)
    shared = {key: result.pop(key) for key in Variant.model_fields if key in result}
    variants = result.get("variants", {BASE: {}})
    where = f"experiments.{name}.variants"
    if not isinstance(variants, dict):
        raise UserError(f"{source}: {where}: must hold keys")
    result["variants"] = {}
    for variant, changes in variants.items():
        place = f"{where}.{variant}"
        try:
            result["variants"][variant] = merged(shared, changes, known_only=False, where=place)
        except ValueError as error:
            raise UserError(f"{source}: {error}") from error
    return result


def _with_changes(experiments: Mapping[str, Any], changes: object) -> dict[str, Any]:
    """Return experiments with changes of some of them. Raises ValueError as `merged` does."""
    if not isinstance(changes, dict):
        raise ValueError("experiments: must hold keys")
    result = dict(experiments)
    for name, change in changes.items():
        where = f"experiments.{name}"
        if name not in experiments:
            raise ValueError(_unknown(where, experiments))
        result[name] = _with_change(experiments[name], change, where)
    return result


def _with_change(experiment: dict[str, Any], change: object, where: str) -> dict[str, Any]:
    if not isinstance(change, dict):
        raise ValueError(f"{where}: must hold keys")
    rest = dict(change)
    to_one = rest.pop("variants", {})
    to_all = {key: rest.pop(key) for key in Variant.model_fields if key in rest}
    known = dict.fromkeys((*experiment, *Variant.model_fields))
    for key in rest:
        if key not in known:
            raise ValueError(_unknown(f"{where}.{key}", known))
    result = merged(experiment, rest, where=where)
    variants = {
        name: merged(variant, to_all, where=where)
        for name, variant in experiment["variants"].items()
    }
    result["variants"] = merged(variants, to_one, where=f"{where}.variants")
    return result


def _keys(path: str, content: object) -> list[str]:
    """Return the keys of a path; a key may have dots, as in `variants.eps_0.1.network`."""
    keys = []
    rest = path
    while rest:
        key = _first_key(rest, content)
        keys.append(key)
        content = content.get(key) if isinstance(content, dict) else None
        rest = rest[len(key) + 1 :]
    return keys


def _first_key(path: str, content: object) -> str:
    """Return the longest key of `content` with which a path begins, or the part before a dot."""
    known = map(str, content) if isinstance(content, dict) else ()
    first = [key for key in known if f"{path}.".startswith(f"{key}.")]
    return max(first, key=len, default=path.partition(".")[0])
