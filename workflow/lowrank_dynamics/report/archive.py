"""One file of a run for a publication archive: sources, settings, results, checksums, and a
description.

The same commit, results and packages give the same bytes. It runs no part of the workflow and
imports no torch.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lowrank_dynamics.config.figures import FIGURES, FORMATS, OURS
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report import crate
from lowrank_dynamics.report.verify import problems, traceable
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.provenance import git, sha256
from lowrank_dynamics.version import __version__

NEEDED = ("metrics/*.parquet", "claims.parquet", "claims.md", "report.html")
IF_THERE = ("comparison.parquet", "comparison.md", "sensitivity.parquet", "sensitivity.md")
"""What an archive has from `results/<scale>`, and every figure in `figures/<scale>`."""
OWN = ("configs", "workflow", "Snakefile")
"""What a run depends on: every file there must be committed."""
CHECKSUMS = "manifest-sha256.txt"
CODE = re.compile(r'"code": "(.*?)"')
"""Where a JSON provenance, at any depth, names a version of the code."""


class Archived(NamedTuple):
    """The written archive, and what its reader should know."""

    path: Path
    files: int
    remarks: list[str]


def write_archive(root: Path, scale: str, folder: Path) -> Archived:
    """Write the archive of the run at `scale` in the project `root` to `folder`, named after
    version, scale and commit.

    Raises UserError, and writes nothing, if there is no clean commit or no complete run, if a file
    lacks provenance, or if the metrics have other settings or give other verdicts.
    """
    commit = _clean_commit(root)
    load_settings(scale, root / "configs")
    results = _results(root, scale)
    if found := list(problems(root, scale)):
        raise UserError(
            "\n".join(
                f"{each}; delete it, run `make SCALE={scale}`, and then this again"
                for each in found
            )
        )
    remarks = [*_absent(scale, results), *_of_other_code(root, results, commit)]
    runs = {Path(name).stem: metrics.read(root / name) for name in results if "/metrics/" in name}
    time = datetime.fromtimestamp(
        int(_git(root, "show", "--no-patch", "--format=%ct", "HEAD")), UTC
    )
    sources = _git(root, "ls-files", "-z").decode().split("\0")[:-1]
    names = [*sources, *results]
    told = " ".join(remarks)
    written = {
        crate.NAME: crate.metadata(root / "CITATION.cff", scale, time, runs, names, remarks=told)
    }
    digests = {name: sha256(root / name) for name in names}
    digests |= {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    written[CHECKSUMS] = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
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
    if changed := _git(root, "diff", "--name-only", "HEAD").decode().split("\n")[:-1]:
        raise UserError(
            f"{', '.join(changed)} in {root.resolve()} differ from the commit; commit or undo the"
            " changes"
        )
    others = (
        _git(root, "ls-files", "--others", "--exclude-standard", "--", *OWN)
        .decode()
        .split("\n")[:-1]
    )
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


def _results(root: Path, scale: str) -> list[str]:
    """Return the names of a run's results and figures. Raises UserError if any kind is missing."""
    needed = [f"results/{scale}/{pattern}" for pattern in NEEDED]
    needed += [f"figures/{scale}/*.{extension}" for extension in FORMATS]
    found = {pattern: list(root.glob(pattern)) for pattern in needed}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise UserError(
            f"there is no {', no '.join(missing)} in {root.resolve()}; run `make SCALE={scale}`"
            " first"
        )
    paths = [path for paths in found.values() for path in paths]
    paths += [path for name in IF_THERE if (path := root / "results" / scale / name).is_file()]
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _absent(scale: str, results: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on the figures of metrics that a run lacks, if there are any."""
    drawn = [name for name, figure in FIGURES.items() if not figure.table and figure.part != OURS]
    if absent := [name for name in drawn if f"figures/{scale}/{name}.pdf" not in results]:
        yield f"Not in this run: {', '.join(absent)}."


def _of_other_code(root: Path, results: Sequence[str], commit: str) -> Iterator[str]:
    """Yield a sentence for each code other than this commit's, or without a commit, that made
    results.
    """
    codes = {
        name: CODE.findall(json.dumps(read_provenance(root / name)))
        for name in results
        if traceable(name)
    }
    others = sorted(
        {code for named in codes.values() for code in named} - {f"{__version__} at {commit}"}
    )
    for code in others:
        names = [name for name, named in codes.items() if code in named]
        which = (
            "every file of metrics, every figure, the verdicts"
            if names == list(codes)
            else ", ".join(names)
        )
        yield f"Not made by the code of this commit, but by {code}: {which}."


def _pack(root: Path, results: Sequence[str], written: Mapping[str, bytes], path: Path) -> None:
    """Write the commit, other project files and the content `written` into a folder named after the
    archive.
    """
    with TemporaryDirectory() as place, replacing(path) as partial:
        added = {name: root / name for name in results} | {
            name: Path(place, name) for name in written
        }
        for name, content in written.items():
            added[name].write_bytes(content)
        command = ["archive", "--format=zip", f"--output={partial.resolve()}"]
        for name, file in added.items():
            command += [f"--prefix={Path(path.stem, name).parent}/", f"--add-file={file.resolve()}"]
        _git(root, *command, f"--prefix={path.stem}/", "HEAD")
