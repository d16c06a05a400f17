"""From the files in `configs/` to checked settings.

`paper.yaml` holds every value of the paper's experiments, `studies/beyond.yaml` those of our own.
A scale's file and an alternative of `studies/sensitivity.yaml` hold their changes only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowrank_dynamics.config.folder import BEYOND_FILE, PAPER, SENSITIVITY_FILE, require_scale
from lowrank_dynamics.config.messages import validated
from lowrank_dynamics.config.overlay import Layer, completed, overlaid, set_layer
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.study import BEYOND, SENSITIVITY, Study
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.errors import UserError


def load_settings(scale: str, study: str, folder: Path, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings of a run: the paper's experiments, or those of a study, at a scale.

    Raises UserError, naming the file, the key and what would be valid, for a missing file, an
    unknown key, or a value that is impossible or of the wrong type.
    """
    require_scale(scale, folder)
    paper, beyond = _layer(folder / PAPER), _layer(folder / BEYOND_FILE)
    layers = [] if scale == "paper" else [_layer(folder / f"{scale}.yaml")]
    kind, _, alternative = study.partition("/")
    if not study:
        names = paper.content.get("experiments", {})
    elif study == BEYOND:
        names = beyond.content.get("experiments", {})
    elif kind == SENSITIVITY and alternative:
        layers += _sensitivity_layers(folder, alternative)
        names = layers[-1].content["experiments"]
    else:
        raise UserError(
            f"there is no study {study!r}; choose {BEYOND} or {SENSITIVITY}/ALTERNATIVE"
        )
    content = completed(paper, beyond)
    for layer in layers:
        content = overlaid(content, layer)
    for text in overrides:
        layer = set_layer(text, content)
        layers.append(layer)
        content = overlaid(content, layer)
    for name in list(content["experiments"]):
        if name not in names:
            del content["experiments"][name]
    return validated(Settings, content, [paper, beyond, *layers])


def _sensitivity_layers(folder: Path, alternative: str) -> list[Layer]:
    """Return what all alternatives of the sensitivity study change, and what one of them does."""
    file, study = folder / SENSITIVITY_FILE, load_study(folder)
    changes = study.changes(alternative)
    return [
        Layer(f"{file}: declared", {"experiments": study.declared}),
        Layer(f"{file}: {alternative}", {"experiments": changes}),
    ]


def load_study(folder: Path) -> Study:
    """Return the sensitivity study. Raises UserError, naming the key, for anything invalid."""
    layer = _layer(folder / SENSITIVITY_FILE)
    return validated(Study, layer.content, [layer])


def _layer(file: Path) -> Layer:
    content: dict[str, Any] = read_yaml(file)
    return Layer(str(file), content)
