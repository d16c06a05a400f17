"""YAML 1.2: `1e-5` is a number, and a key stands once. Settings are read from it, and provenance is
shown in it.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from lowrank_dynamics.errors import UserError


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values in a file.

    Raises UserError, naming the file, if it cannot be read or holds none, and the line of a
    duplicate key.
    """
    try:
        with _naming(str(path)):
            content = _value_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); restore it as the project has it"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold keys with values, not {type(content).__name__}")
    return content


def parsed_value(text: str) -> Any:
    """Return the value that text has in YAML. Raises UserError if it has none."""
    with _naming(repr(text)):
        return _value_of(text)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Raise UserError, naming the source of a text, if the text has no value in YAML.

    The library raises its own errors for the grammar, and Python's for a value such as the date
    2001-99-99, `!!bool a`, or brackets within a thousand others.
    """
    try:
        yield
    except DuplicateKeyError as error:
        _, key, *_ = str(error.problem).split('"')
        line = error.problem_mark.line + 1
        raise UserError(f"{source}: line {line}: duplicate key {key}; remove one") from error
    except (YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error


def _value_of(text: str) -> Any:
    """Return a copy of the value that text has. Raises ValueError if it contains itself."""
    content = copy.deepcopy(_parsed(text))
    try:
        json.dumps(content, default=str, skipkeys=True)
    except ValueError as error:
        raise ValueError("an anchor (&) is used within itself; write it out") from error
    return content


def as_yaml(content: Any, width: int = 80) -> str:
    """Return plain values as YAML in which keys keep their order and long texts are folded at
    `width` characters.
    """
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = width
    text = StringIO()
    writer.dump(content, text)
    return text.getvalue()


@cache
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)
