"""How pages are made of templates."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lowrank_dynamics.storage.atomic import replacing

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, path: Path, **content: Any) -> None:
    """Write the page that a template makes of its content; an interrupted write leaves no file at `path`."""
    page = TEMPLATES.get_template(template).render(**content)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
