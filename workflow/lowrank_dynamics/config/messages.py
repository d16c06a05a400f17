"""Pydantic's errors about settings as sentences: which file, which key, what would be valid."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lowrank_dynamics.config.overlay import Layer
from lowrank_dynamics.errors import UserError

Model = TypeVar("Model", bound=BaseModel)
Keys = tuple[int | str, ...]
"""The path of a value in a file."""
MISSING = ("missing", "union_tag_not_found")
"""Pydantic's kinds of errors for a key that is not there."""
ABSENT = object()


class Problem(NamedTuple):
    """One invalid value: the path to it and what is wrong."""

    keys: Keys
    message: str


def validated(model: type[Model], content: Any, layers: Sequence[Layer]) -> Model:
    """Return the settings in `content`, which the `layers` make up, the first of them the base.

    Raises UserError, with a sentence for each problem: the file, the key, and what would be valid.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [problem_of(details, content) for details in error.errors()]
        sentences = []
        for problem in _of_all_variants(problems, content):
            source = _source_at_fault(problem.keys, layers)
            keys = ".".join(map(str, problem.keys))
            sentences.append(f"{source}: {keys}: {problem.message}")
        raise UserError("\n".join(sentences)) from error


def problem_of(details: ErrorDetails, content: Any) -> Problem:
    """Return one of pydantic's errors about `content` as a problem."""
    keys = _key_path(details["loc"], content)
    context = details.get("ctx", {})
    kind = details["type"]
    if kind.startswith("union_tag"):  # the key by which a block of keys says which one it is
        keys = (*keys, context["discriminator"].strip("'"))
    if kind == "extra_forbidden":
        message = "unknown key"
    elif kind in MISSING:
        message = "missing key"
    elif kind == "union_tag_invalid":
        choices = context["expected_tags"].replace("'", "")
        message = f"{context['tag']!r} is not one of {choices}"
    elif kind == "string_pattern_mismatch":
        message = f"a name that becomes part of a path must match {context['pattern']}"
    elif kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
    else:
        message = f"{details['msg'].removeprefix('Input ')}, got {details['input']!r}"
    return Problem(keys, message)


def _of_all_variants(problems: Sequence[Problem], content: Any) -> list[Problem]:
    """Return the problems; one that all variants share is a problem of the experiment."""
    counts = Counter(map(_without_variant, problems))
    result: dict[Problem, None] = {}
    for problem in problems:
        shared = _without_variant(problem)
        variants = _value_at(problem.keys[:3], content)
        everywhere = isinstance(variants, dict) and counts[shared] == len(variants)
        result[shared if everywhere else problem] = None
    return list(result)


def _without_variant(problem: Problem) -> Problem:
    """Return a problem at the place above all variants, if it is in one of them."""
    keys = problem.keys
    if len(keys) > 4 and keys[2] == "variants":
        keys = (*keys[:2], *keys[4:])
    return Problem(keys, problem.message)


def _source_at_fault(keys: Keys, layers: Sequence[Layer]) -> str:
    """Return the last layer that sets the value at `keys`, or the base and the last that changes
    something below it.
    """
    base = layers[0].source
    for layer in layers:
        if _value_at(keys[:2], layer.content) is not ABSENT:
            base = layer.source
            break
    for layer in reversed(layers):
        value = _value_at(keys, layer.content)
        if isinstance(value, dict) and layer.source != base:
            return f"{base} with {layer.source}"
        if value is not ABSENT:
            return layer.source
    return base


def _value_at(keys: Keys, content: Any) -> Any:
    """Return the value at a path, `ABSENT` if there is none."""
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return ABSENT
        content = content[key]
    return content


def _key_path(location: Keys, content: Any) -> Keys:
    """Return the parts of a pydantic location that are keys of the file, without union tags."""
    keys: list[int | str] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(content, dict) and part not in content and not last:
            continue
        if part != "[key]":
            keys.append(part)
        content = content.get(part) if isinstance(content, dict) else None
    return tuple(keys)
