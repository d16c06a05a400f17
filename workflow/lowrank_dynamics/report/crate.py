"""How an archive describes itself to other programs: a Workflow Run RO-Crate, in JSON-LD.

https://www.researchobject.org/workflow-run-crate/ has the profiles.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from lowrank_dynamics.config.figures import title
from lowrank_dynamics.config.yaml import read_yaml
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.version import __version__

NAME = "ro-crate-metadata.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
FORMATS = {
    ".html": "text/html",
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
    runs: Mapping[str, Metrics],
    files: Iterable[str],
    *,
    remarks: str,
) -> bytes:
    """Return the description of a run: the workflow, its inputs and outputs, when and with what it
    was made.

    `citation` is a CITATION.cff that names the software and its paper; `runs` are the metrics by
    experiment, `files` all names in the archive. The same arguments give the same bytes.
    """
    cited = read_yaml(citation)
    crate = ROCrate(version="1.1")
    authors = _authors(crate, cited)
    names = sorted(files)
    settings = [_file(crate, name) for name in names if name.startswith("configs/")]
    results = [
        _file(crate, name)
        for name in names
        if name.startswith((f"results/{scale}/", f"figures/{scale}/"))
    ]
    workflow = _workflow(crate, runs, authors)
    _describe(crate, cited, scale, published, authors)
    asked = _thing(crate, "#scale", "FormalParameter", name="scale", additionalType="Text")
    workflow["input"] = asked
    told = _thing(crate, "#scale-of-the-run", "PropertyValue", name="scale", value=scale)
    told["exampleOfWork"] = asked
    began, ended = _time(runs)
    said = {
        "name": f"The run at {scale} scale",
        "startTime": began,
        "endTime": ended,
        "description": remarks,
    }
    action = crate.add_action(
        workflow, "#run", [told, *settings, *_data(crate, runs)], results, said
    )
    action["agent"], crate.root_dataset["mentions"] = authors, action
    content = json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
    return f"{content}\n".encode()


def _describe(
    crate: ROCrate, cited: Mapping[str, Any], scale: str, published: datetime, authors: Any
) -> None:
    """Describe the whole: its name, publisher, date, license and profiles."""
    crate.name, crate.description = f"{cited['title']} at {scale} scale", cited["abstract"]
    crate.datePublished, crate.license = published, LICENSES[cited["license"]]
    crate.root_dataset["author"] = crate.root_dataset["publisher"] = authors
    crate.root_dataset["citation"] = _paper(crate, cited["preferred-citation"])
    crate.root_dataset["conformsTo"] = [
        _thing(crate, url, "CreativeWork", name=name, version=url.split("/")[-1])
        for url, name in PROFILES.items()
    ]
    _thing(crate, crate.license, "CreativeWork", name=f"{cited['license']} licence")
    readme = crate.add_file(dest_path="README.md", properties={"encodingFormat": "text/markdown"})
    readme["about"] = crate.root_dataset


def _thing(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> ContextEntity:
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _file(crate: ROCrate, name: str) -> Any:
    path = Path(name)
    return crate.add_file(
        dest_path=name, properties={"name": _title(path), "encodingFormat": FORMATS[path.suffix]}
    )


def _title(path: Path) -> str:
    """Return what a file is, in words."""
    if path.parts[0] == "figures":
        return title(path.stem)
    kind = {"configs": "settings", "metrics": "measurements of"}.get(path.parent.name, "")
    return f"{kind} {path.stem}".strip()


def _workflow(crate: ROCrate, runs: Mapping[str, Metrics], authors: Any) -> Any:
    """Add the Snakefile, with the libraries that computed the numbers."""
    said = {"name": "lowrank-dynamics", "version": __version__, "encodingFormat": "text/plain"}
    workflow = crate.add_workflow(
        dest_path="Snakefile",
        main=True,
        lang="snakemake",
        lang_version=version("snakemake"),
        properties=said,
    )
    origins = [origin for run in runs.values() for origin in run.cells.values()]
    used = {(name, each) for origin in origins for name, each in origin.libraries.items()}
    used |= {("Python", origin.python) for origin in origins}
    workflow["author"] = authors
    workflow["softwareRequirements"] = [
        _thing(crate, f"#{name}-{each}", "SoftwareApplication", name=name, version=each)
        for name, each in sorted(used)
    ]
    return workflow


def _data(crate: ROCrate, runs: Mapping[str, Metrics]) -> Iterator[ContextEntity]:
    """Add the data that the experiments read, with their sources."""
    origins = (origin.data for run in runs.values() for origin in run.cells.values())
    for name, origin in sorted({pair for data in origins for pair in data.items()}):
        yield _thing(
            crate,
            f"#data-{name}-{origin}".replace(" ", "-"),
            "CreativeWork",
            name=name,
            description=origin,
        )


def _time(runs: Mapping[str, Metrics]) -> tuple[str, str]:
    """Return when the first training began and the last one ended."""
    origins = [origin for run in runs.values() for origin in run.cells.values()]
    spans = [
        (datetime.fromisoformat(each.started), timedelta(seconds=each.seconds)) for each in origins
    ]
    ended = max(began + took for began, took in spans)
    return min(spans)[0].isoformat(), ended.isoformat(timespec="seconds")


def _authors(crate: ROCrate, cited: Mapping[str, Any]) -> Any:
    """Add the authors in CITATION.cff, persons or groups; a single one is not a list in JSON-LD."""
    added = []
    for author in cited["authors"]:
        kind = "Organization" if "name" in author else "Person"
        name = author.get("name") or f"{author['given-names']} {author['family-names']}"
        added.append(_thing(crate, f"#{name.replace(' ', '-')}", kind, name=name))
    return added if len(added) > 1 else added[0]


def _paper(crate: ROCrate, cited: Mapping[str, Any]) -> ContextEntity:
    """Add the reproduced paper."""
    paper = _thing(
        crate,
        cited["url"],
        "ScholarlyArticle",
        name=cited["title"],
        datePublished=str(cited["year"]),
    )
    paper["author"] = _authors(crate, cited)
    return paper
