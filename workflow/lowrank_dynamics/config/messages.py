"""What pydantic finds wrong with settings, as sentences: which file, which key, what would be right."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from lowrank_dynamics.errors import UserError


class Overlay(NamedTuple):
    """A file, and what it changes of the settings."""

    file: Path
    content: dict[str, Any]


def as_user_error(error: ValidationError, content: Any, file: Path, overlays: Sequence[Overlay] = ()) -> UserError:
    """Return an error with a sentence for each problem: which file and key it is about, and what would be right.

    `content` is what was validated: that of `file` with the `overlays` applied.
    """
    return UserError("\n".join(_sentence(problem, content, file, overlays) for problem in error.errors()))


def _sentence(problem: Any, content: Any, base_file: Path, overlays: Sequence[Overlay]) -> str:
    """Say which file and which key a problem found by pydantic is about, and what would be right."""
    keys = list(_key_path(problem["loc"], content))
    file = _file_at_fault(keys, base_file, overlays)
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    is_value = problem["type"] not in ("extra_forbidden", "missing", "value_error")
    found = f", is {problem['input']!r}" if is_value else ""
    message = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(problem["type"], message)
    return f"{file}: {'.'.join(map(str, keys))}: {message}{found}"


def _file_at_fault(keys: list[int | str], base_file: Path, overlays: Sequence[Overlay]) -> str:
    """Return the last file that sets the value at `keys`, or the base with the last that sets something below it."""
    for file, content in reversed(overlays):
        found: Any = content
        for key in keys:
            found = found.get(key, {}) if isinstance(found, dict) else found
        if found != {}:
            return f"{base_file} with {file}" if isinstance(found, dict) else str(file)
    return str(base_file)


def _key_path(location: tuple[int | str, ...], content: Any) -> Iterator[int | str]:
    """Yield the parts of a pydantic location that are keys of the file, without the tags of its unions."""
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(content, dict) and part not in content and not last:
            continue
        yield part
        content = content[part] if isinstance(content, dict) and part in content else None
