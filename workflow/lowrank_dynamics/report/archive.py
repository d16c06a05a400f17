"""One file of a run for a publication archive: sources, settings, results, checksums, and a
description.

The same commit, results and packages give the same bytes. It runs no part of the workflow and
imports no torch.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lowrank_dynamics.config.figures import figures_of
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report import crate
from lowrank_dynamics.report.verify import problems, require_none, traceable
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.provenance import CellOrigin, sha256
from lowrank_dynamics.storage.repository import git
from lowrank_dynamics.version import __version__

NEEDED = (
    "results/{scale}/metrics/*.parquet",
    "results/{scale}/claims.parquet",
    "results/{scale}/claims.md",
    "results/{scale}/report.html",
    "figures/{scale}/*.pdf",
    "figures/{scale}/*.svg",
    "figures/{scale}/*.png",
)
IF_THERE = (
    "results/{scale}/comparison.parquet",
    "results/{scale}/comparison.md",
    "results/{scale}/sensitivity.parquet",
    "results/{scale}/sensitivity.md",
    "figures/{scale}/*.gif",
)
"""What an archive has of a run."""
SOURCES = ("configs", "workflow", "Snakefile")
"""What a run depends on: every file there must be committed."""
CHECKSUMS = "manifest-sha256.txt"
CODE = re.compile(r'"code": "(.*?)"')
"""Where a JSON provenance, at any depth, names a version of the code."""


class Archived(NamedTuple):
    """The written archive, and what its reader should know."""

    path: Path
    files: int
    remarks: list[str]


def write_archive(run: Run, folder: Path) -> Archived:
    """Write the archive of a run to `folder`, named after version, scale and commit.

    Raises UserError, and writes nothing, if there is no clean commit or no complete run, if a file
    lacks provenance, or if the metrics have other settings or give other verdicts.
    """
    root, scale = run.root, run.name
    commit = _clean_commit(root)
    run.settings  # noqa: B018 (a mistake in them is reported before all else)
    results = _results(root, scale)
    require_none(problems(run), f"run `make SCALE={scale}`, then this again")
    remarks = _absent(run, results) + _of_other_code(root, results, commit)
    names = _git_lines(root, "ls-files") + results
    written = {crate.NAME: _description(root, scale, names, remarks)}
    digests = {name: sha256(root / name) for name in names}
    digests[crate.NAME] = hashlib.sha256(written[crate.NAME]).hexdigest()
    checksums = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    written[CHECKSUMS] = "".join(checksums).encode()
    path = folder / f"lowrank-dynamics-{__version__}-{scale}-{commit[:8]}.zip"
    _pack(root, results, written, path)
    return Archived(path, len(digests), remarks)


def _clean_commit(root: Path) -> str:
    """Return the commit of the project. Raises UserError if it has none or differs from it."""
    if _git(root, "rev-parse", "--show-prefix").strip():
        raise UserError(
            f"{root.resolve()} is only a part of a git repository; run this in a clone of the"
            " project"
        )
    changed = _git_lines(root, "diff", "--name-only", "HEAD")
    if changed:
        raise UserError(
            f"{', '.join(changed)} in {root.resolve()} differ from the commit; commit or undo the"
            " changes"
        )
    others = _git_lines(root, "ls-files", "--others", "--exclude-standard", "--", *SOURCES)
    if others:
        raise UserError(
            f"{', '.join(others)} in {root.resolve()} is in no commit; add it, or move it elsewhere"
        )
    return _git(root, "rev-parse", "HEAD").decode().strip()


def _git(root: Path, *arguments: str) -> bytes:
    """Return the output of git in `root`. Raises UserError if it cannot be run or fails."""
    try:
        return git(root, *arguments)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split())
        raise UserError(
            f"{root.resolve()} has no commit ({reason}); run this in a clone of the project"
        ) from error
    except OSError as error:
        raise UserError(
            f"the sources cannot be read without git ({error.strerror}); install it"
        ) from error


def _git_lines(root: Path, command: str, *arguments: str) -> list[str]:
    """Return the names that a git command lists; they may contain any characters."""
    return _git(root, command, "-z", *arguments).decode().split("\0")[:-1]


def _results(root: Path, scale: str) -> list[str]:
    """Return the names of a run's results and figures. Raises UserError if any kind is missing."""
    paths: list[Path] = []
    missing = []
    for name in NEEDED:
        pattern = name.format(scale=scale)
        matching = list(root.glob(pattern))
        paths += matching
        if not matching:
            missing.append(pattern)
    if missing:
        raise UserError(
            f"there is no {', no '.join(missing)} in {root.resolve()}; run `make SCALE={scale}`"
            " first"
        )
    for name in IF_THERE:
        paths += root.glob(name.format(scale=scale))
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _absent(run: Run, results: Sequence[str]) -> list[str]:
    """Return a sentence on the figures that a run lacks, if there are any."""
    absent = []
    for name in figures_of(run.settings.experiments):
        if f"figures/{run.name}/{name}.pdf" not in results:
            absent.append(name)
    return [f"Not in this run: {', '.join(absent)}."] if absent else []


def _of_other_code(root: Path, results: Sequence[str], commit: str) -> list[str]:
    """Return a sentence for each code other than this commit's, or without a commit, that made
    results.
    """
    made: dict[str, list[str]] = {}
    files = list(filter(traceable, results))
    for name in files:
        provenance = json.dumps(read_provenance(root / name))
        for code in set(CODE.findall(provenance)):
            made.setdefault(code, []).append(name)
    made.pop(f"{__version__} at {commit}", None)
    sentences = []
    for code, names in sorted(made.items()):
        which = ", ".join(names)
        if names == files:
            which = "every file of metrics, every figure, the verdicts"
        sentences.append(f"Not made by the code of this commit, but by {code}: {which}.")
    return sentences


def _description(root: Path, scale: str, names: Sequence[str], remarks: Sequence[str]) -> bytes:
    """Return the description of the run for other programs; its time is that of the commit."""
    committed = _git(root, "show", "--no-patch", "--format=%ct", "HEAD")
    time = datetime.fromtimestamp(int(committed), UTC)
    origins: list[CellOrigin] = []
    for name in names:
        if name.startswith(f"results/{scale}/metrics/"):
            origins += metrics.read(root / name).cells.values()
    citation = root / "CITATION.cff"
    return crate.metadata(citation, scale, time, origins, names, remarks=" ".join(remarks))


def _pack(root: Path, results: Sequence[str], written: Mapping[str, bytes], path: Path) -> None:
    """Write the commit, other project files and the content `written` into a folder named after the
    archive.
    """
    with TemporaryDirectory() as place, replacing(path) as partial:
        added = {name: root / name for name in results}
        for name, content in written.items():
            added[name] = Path(place, name)
            added[name].write_bytes(content)
        command = ["archive", "--format=zip", f"--output={partial.resolve()}"]
        for name, file in added.items():
            command += [f"--prefix={Path(path.stem, name).parent}/", f"--add-file={file.resolve()}"]
        _git(root, *command, f"--prefix={path.stem}/", "HEAD")
