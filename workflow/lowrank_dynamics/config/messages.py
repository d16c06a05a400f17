"""Pydantic's errors about settings as sentences: which file, which key, what would be valid."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from lowrank_dynamics.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Overlay(NamedTuple):
    """A file, and its changes to the settings."""

    file: Path
    content: dict[str, Any]


def validated(
    model: type[Model], content: Any, file: Path, overlays: Sequence[Overlay] = ()
) -> Model:
    """Return the settings in `content`, that of `file` with the `overlays` applied.

    Raises UserError, with a sentence for each problem: the file, the key, and what would be valid.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        sentences = [_sentence(problem, content, file, overlays) for problem in error.errors()]
        raise UserError("\n".join(sentences)) from error


def _sentence(problem: Any, content: Any, base_file: Path, overlays: Sequence[Overlay]) -> str:
    keys = [key for key in _key_path(problem["loc"], content) if key != "[key]"]
    context = problem.get("ctx", {})
    if problem["type"].startswith(
        "union_tag"
    ):  # the key by which a block of keys says which one it is
        keys.append(context["discriminator"].strip("'"))
    file = _file_at_fault(keys, base_file, overlays)
    known = {
        "extra_forbidden": "unknown key",
        "missing": "missing key",
        "union_tag_not_found": "missing key",
    }
    if problem["type"] == "union_tag_invalid":
        kinds = context["expected_tags"].replace("'", "")
        known[problem["type"]] = f"{context['tag']!r} is not one of {kinds}"
    if problem["type"] == "string_pattern_mismatch":
        known[problem["type"]] = (
            f"a name that becomes part of a path must match {context['pattern']}"
        )
    known["value_error"] = problem["msg"].removeprefix("Value error, ")
    message = known.get(
        problem["type"], f"{problem['msg'].removeprefix('Input ')}, is {problem['input']!r}"
    )
    return f"{file}: {'.'.join(map(str, keys))}: {message}"


def _file_at_fault(keys: list[int | str], base_file: Path, overlays: Sequence[Overlay]) -> str:
    """Return the last file that sets the value at `keys`, or the base and the last to set something
    below it.
    """
    for file, content in reversed(overlays):
        found: Any = content
        for key in keys:
            found = found.get(key, {}) if isinstance(found, dict) else found
        if found != {}:
            return f"{base_file} with {file}" if isinstance(found, dict) else str(file)
    return str(base_file)


def _key_path(location: tuple[int | str, ...], content: Any) -> Iterator[int | str]:
    """Yield the parts of a pydantic location that are keys of the file, without the tags of its
    unions.
    """
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(content, dict) and part not in content and not last:
            continue
        yield part
        content = content[part] if isinstance(content, dict) and part in content else None
