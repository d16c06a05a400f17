"""How settings are put over one another: base <- variant <- scale <- alternative <- `--config set`.

A layer holds changes of settings. What it changes in an experiment holds for all variants of that,
except for what it changes of one under `variants`.
"""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from lowrank_dynamics.config.blocks import Variant
from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.config.yaml import parsed_value
from lowrank_dynamics.errors import UserError


class Layer(NamedTuple):
    """Settings, or changes of settings, and what messages call the place where they stand."""

    source: str
    content: dict[str, Any]


def completed(paper: Layer, beyond: Layer) -> dict[str, Any]:
    """Return the settings of `paper.yaml`, and the experiments of another file, all complete.

    An experiment starts from the one that its key `like` names, without that one's variants, or
    else from the block `defaults`. Raises UserError, naming the file and the key, for what cannot
    be completed.
    """
    content = dict(paper.content)
    with _naming(paper.source):
        defaults = _block(content.pop("defaults", {}), "defaults")
    with _naming(beyond.source):
        _require_known(beyond.content, ["experiments"])
    definitions: dict[str, Layer] = {}
    for layer in (paper, beyond):
        with _naming(layer.source):
            experiments = _block(layer.content.get("experiments"), "experiments")
            for name, experiment in experiments.items():
                where = f"experiments.{name}"
                if name in definitions:
                    raise ValueError(f"{where}: {definitions[name].source} has one of this name")
                definitions[name] = Layer(layer.source, _block(experiment, where))
    content["experiments"] = {}
    for name, definition in definitions.items():
        complete = _complete(name, definitions, defaults)
        with _naming(definition.source):
            content["experiments"][name] = _with_variants(complete, f"experiments.{name}")
    return content


def overlaid(content: dict[str, Any], layer: Layer) -> dict[str, Any]:
    """Return complete settings with the changes of a layer.

    Raises UserError, naming the layer and the key, for a key that the settings lack.
    """
    changes = dict(layer.content)
    experiments = dict(content["experiments"])
    with _naming(layer.source):
        changed = _block(changes.pop("experiments", {}), "experiments")
        result = merged(content, changes)
        _require_known(changed, experiments, "experiments")
        for name, change in changed.items():
            experiments[name] = _with_change(experiments[name], change, f"experiments.{name}")
    result["experiments"] = experiments
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
    if isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise ValueError("it must be path=value, such as experiments.case_study.training.steps=300")


def merged(
    base: Mapping[str, Any], changes: object, where: str = "", *, known_only: bool = True
) -> dict[str, Any]:
    """Return `base` with the values of `changes` replacing its own, at any depth.

    Raises ValueError, prefixed with `where`, for a key that `base` lacks, if `known_only`, and for
    a block of keys in place of one value, or vice versa.
    """
    block = _block(changes, where)
    if known_only:
        _require_known(block, base, where)
    result = dict(base)
    for key, value in block.items():
        place = _place(where, key)
        if isinstance(base.get(key), dict):
            result[key] = merged(base[key], value, place, known_only=known_only)
        elif isinstance(value, dict) and key in base:
            raise ValueError(f"{place}: must be one value")
        else:
            result[key] = value
    return result


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Turn a ValueError about a key into a UserError that also names the file."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error


def _block(value: object, where: str) -> dict[str, Any]:
    """Return a copy of a block of keys. Raises ValueError for any other value."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must hold keys")
    return dict(value)


def _require_known(keys: Iterable[str], known: Collection[str], where: str = "") -> None:
    for key in keys:
        if key not in known:
            choices = ", ".join(map(str, known))
            raise ValueError(f"{_place(where, key)}: unknown key; the keys are {choices}")


def _place(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


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
    with _naming(source):
        if like is not None:
            others = [other for other in definitions if other not in (*above, name)]
            if like not in others:
                raise ValueError(f"{where}.like: {like!r} is not one of {', '.join(others)}")
            base = _complete(like, definitions, defaults, (*above, name))
            base.pop("variants", None)
        return merged(base, changes, where, known_only=False)


def _with_variants(experiment: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an experiment with what variants may change in each of them, and only there."""
    result = dict(experiment)
    shared = _taken(result)
    place = f"{where}.variants"
    variants = _block(result.get("variants", {BASE: {}}), place)
    result["variants"] = {}
    for name, changes in variants.items():
        variant = merged(shared, changes, f"{place}.{name}", known_only=False)
        result["variants"][name] = variant
    return result


def _with_change(experiment: dict[str, Any], change: object, where: str) -> dict[str, Any]:
    rest = _block(change, where)
    _require_known(rest, dict.fromkeys((*experiment, *Variant.model_fields)), where)
    to_one = rest.pop("variants", {})
    to_all = _taken(rest)
    result = merged(experiment, rest, where)
    variants = {}
    for name, variant in experiment["variants"].items():
        variants[name] = merged(variant, to_all, where)
    result["variants"] = merged(variants, to_one, f"{where}.variants")
    return result


def _taken(settings: dict[str, Any]) -> dict[str, Any]:
    """Remove from settings, and return, those that variants may change."""
    return {key: settings.pop(key) for key in Variant.model_fields if key in settings}


def _keys(path: str, content: object) -> list[str]:
    """Return the keys of a path; a key of `content` may have dots, as in
    `variants.eps_0.1.network`.
    """
    keys = []
    while path:
        known = content if isinstance(content, dict) else {}
        first = [key for key in map(str, known) if f"{path}.".startswith(f"{key}.")]
        key = max(first, key=len, default=path.partition(".")[0])
        keys.append(key)
        content = known.get(key)
        path = path[len(key) + 1 :]
    return keys
