"""How an archive describes itself to other programs: a Workflow Run RO-Crate, in JSON-LD.

https://www.researchobject.org/workflow-run-crate/ has the profiles.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from lowrank_dynamics.config.figures import title
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.storage.provenance import CellOrigin
from lowrank_dynamics.version import __version__

NAME = "ro-crate-metadata.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
MEDIA_TYPES = {
    ".gif": "image/gif",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
LICENSES = {"MIT": "https://spdx.org/licenses/MIT"}


def metadata(
    citation: Path,
    scale: str,
    published: datetime,
    origins: Sequence[CellOrigin],
    files: Iterable[str],
    *,
    remarks: str,
) -> bytes:
    """Return the description of a run: the workflow, its inputs and outputs, when and with what it
    was made.

    `citation` is a CITATION.cff that names the software and its paper; `origins` are those of all
    cells, `files` all names in the archive. The same arguments give the same bytes.
    """
    cited = read_yaml(citation)
    crate = ROCrate(version="1.1")
    crate.name = f"{cited['title']} at {scale} scale"
    crate.description = cited["abstract"]
    crate.datePublished = published
    crate.license = LICENSES[cited["license"]]
    _thing(crate, crate.license, "CreativeWork", name=f"{cited['license']} license")
    root = crate.root_dataset
    authors = _authors(crate, cited)
    root["author"] = root["publisher"] = authors
    root["citation"] = _paper(crate, cited["preferred-citation"])
    profiles = []
    for url, name in PROFILES.items():
        version = url.split("/")[-1]
        profiles.append(_thing(crate, url, "CreativeWork", name=name, version=version))
    root["conformsTo"] = profiles
    _file(crate, "README.md")["about"] = root
    names = sorted(files)
    argument = _thing(crate, "#scale-of-the-run", "PropertyValue", name="scale", value=scale)
    parameter = _thing(crate, "#scale", "FormalParameter", name="scale", additionalType="Text")
    argument["exampleOfWork"] = parameter
    workflow = _workflow(crate, origins)
    workflow["input"] = parameter
    workflow["author"] = authors
    inputs = [argument, *_files(crate, names, "configs/"), *_data(crate, origins)]
    results = _files(crate, names, f"results/{scale}/", f"figures/{scale}/")
    properties = {"name": f"The run at {scale} scale", "description": remarks, **_times(origins)}
    action = crate.add_action(workflow, "#run", inputs, results, properties)
    action["agent"] = authors
    root["mentions"] = action
    content = json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
    return f"{content}\n".encode()


def _thing(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> ContextEntity:
    properties["@type"] = kind
    return crate.add(ContextEntity(crate, identifier.replace(" ", "-"), properties=properties))


def _files(crate: ROCrate, names: Iterable[str], *folders: str) -> list[Any]:
    """Add the files, among the names, that are in some folders."""
    return [_file(crate, name) for name in names if name.startswith(folders)]


def _file(crate: ROCrate, name: str) -> Any:
    path = Path(name)
    properties = {"name": _title(path), "encodingFormat": MEDIA_TYPES[path.suffix]}
    return crate.add_file(dest_path=name, properties=properties)


def _title(path: Path) -> str:
    """Return what a file is, in words."""
    if path.parts[0] == "figures":
        return title(path.stem)
    kind = {"configs": "settings", "metrics": "measurements of"}.get(path.parent.name, "")
    return f"{kind} {path.stem}".strip()


def _workflow(crate: ROCrate, origins: Iterable[CellOrigin]) -> Any:
    """Add the Snakefile, with the programs that computed the numbers."""
    workflow = crate.add_workflow(
        dest_path="Snakefile",
        main=True,
        lang="snakemake",
        lang_version=installed.version("snakemake"),
        properties={
            "name": "lowrank-dynamics",
            "version": __version__,
            "encodingFormat": "text/plain",
        },
    )
    programs = set()
    for origin in origins:
        programs.add(("Python", origin.python))
        programs.update(origin.libraries.items())
    added = []
    for name, version in sorted(programs):
        kind = "SoftwareApplication"
        added.append(_thing(crate, f"#{name}-{version}", kind, name=name, version=version))
    workflow["softwareRequirements"] = added
    return workflow


def _data(crate: ROCrate, origins: Iterable[CellOrigin]) -> list[ContextEntity]:
    """Add the data that the experiments read, with their sources."""
    sources: set[tuple[str, str]] = set()
    for origin in origins:
        sources.update(origin.data.items())
    added = []
    for name, source in sorted(sources):
        identifier = f"#data-{name}-{source}"
        added.append(_thing(crate, identifier, "CreativeWork", name=name, description=source))
    return added


def _times(origins: Iterable[CellOrigin]) -> dict[str, str]:
    """Return when the first training began and the last one ended."""
    began, ended = [], []
    for origin in origins:
        start = datetime.fromisoformat(origin.started)
        began.append(start)
        ended.append(start + timedelta(seconds=origin.seconds))
    last = max(ended).isoformat(timespec="seconds")
    return {"startTime": min(began).isoformat(), "endTime": last}


def _authors(crate: ROCrate, cited: Mapping[str, Any]) -> Any:
    """Add the authors in CITATION.cff, persons or groups; a single one is not a list in JSON-LD."""
    added = []
    for author in cited["authors"]:
        kind = "Organization" if "name" in author else "Person"
        name = author.get("name") or f"{author['given-names']} {author['family-names']}"
        added.append(_thing(crate, f"#{name}", kind, name=name))
    return added if len(added) > 1 else added[0]


def _paper(crate: ROCrate, cited: Mapping[str, Any]) -> ContextEntity:
    """Add the reproduced paper."""
    published = str(cited["year"])
    kind = "ScholarlyArticle"
    paper = _thing(crate, cited["url"], kind, name=cited["title"], datePublished=published)
    paper["author"] = _authors(crate, cited)
    return paper
