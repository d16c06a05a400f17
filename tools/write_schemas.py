"""Write the JSON Schemas of the settings, by which an editor completes and checks the YAML files.

    python -m tools.write_schemas [--check]

Each YAML file in `configs/` names its schema in its first line. With `--check` nothing is written,
and the exit status says whether the files in `configs/schema/` are those of the models.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from lowrank_dynamics.analysis.claims import Claims
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.study import Study

FOLDER = Path(__file__).parents[1] / "configs" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def settings_schema() -> dict[str, Any]:
    """Return the schema of a file of settings: any part of them, for the rest stands elsewhere."""
    schema = _partial(Settings.model_json_schema())
    definitions = schema["$defs"]
    experiment = definitions["Experiment"]["properties"]
    for key, block in definitions["Variant"]["properties"].items():
        experiment[key] = {**block, "description": "of all variants"}
    experiment["like"] = {"type": "string", "description": "the experiment that it starts from"}
    schema["properties"]["defaults"] = {"$ref": "#/$defs/Experiment"}
    return schema


def study_schema() -> dict[str, Any]:
    """Return the schema of the sensitivity study, whose changes are those of a file of settings."""
    schema = Study.model_json_schema()
    settings = settings_schema()
    changes = settings["properties"]["experiments"]
    schema["$defs"] |= settings["$defs"]
    schema["properties"]["declared"] = changes
    alternatives = schema["$defs"]["Choice"]["properties"]["alternatives"]
    alternatives["additionalProperties"] = changes
    return schema


def statements_schema() -> dict[str, Any]:
    """Return the schema of the claims, and of our findings."""
    return Claims.model_json_schema()


def _partial(schema: Any) -> Any:
    """Return a schema in which no key is required."""
    if isinstance(schema, list):
        return [_partial(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, part in schema.items():
        if key == "oneOf":  # several kinds of data have the same keys
            result["anyOf"] = _partial(part)
        elif key not in ("required", "discriminator", "default"):
            result[key] = _partial(part)
    return result


def main() -> None:
    """Write the schemas, or check that they are there."""
    parser = ArgumentParser(prog="python -m tools.write_schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if they differ")
    check = parser.parse_args().check
    schemas = {
        "settings": settings_schema(),
        "sensitivity": study_schema(),
        "statements": statements_schema(),
    }
    for name, schema in schemas.items():
        file = FOLDER / f"{name}.json"
        text = json.dumps({"$schema": DIALECT, **schema}, indent=1) + "\n"
        if not check:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            sys.exit(f"{file} is not that of the models; run python -m tools.write_schemas")


if __name__ == "__main__":
    main()
