"""One file of a run for an archive of publications: sources, settings, results, environment, checksums.

The same commit, results and packages give the same bytes. It runs nothing of the workflow, and imports no torch.
"""

import gzip
import io
import json
import platform
import re
import subprocess
import tarfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.registries import FORMATS, figures_of
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.verify import CHECKSUMS, checksums, contradictions, untraced, with_provenance
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.provenance import git
from lowrank_dynamics.version import __version__

NEEDED = ("metrics/*.parquet", "claims.parquet", "claims.md", "report.html", "pages/*.html")
IF_THERE = ("comparison.parquet", "comparison.md", "sensitivity.parquet", "sensitivity.md")
"""What an archive has of `results/<scale>`; of `figures/<scale>` it has every figure."""
GUIDE = "ARCHIVE.txt"
CODE = re.compile(r'"code": "(.*?)"')
"""Where a provenance in JSON, at whatever depth, names a version of the code."""
TEXT = """\
lowrank-dynamics {version}, a run at {scale} scale, with the sources at commit {commit}

configs/, workflow/, docs/, README.md and the rest   the sources; configs/ has the settings
results/{scale}/metrics/     every measurement, a file for each experiment
results/{scale}/claims.*     the verdict on every claim, as a table and as a page
results/{scale}/comparison.* the run against the reference
results/{scale}/report.html  all of it on one page; results/{scale}/pages/ has its parts
figures/{scale}/             the figures
requirements.txt, ENVIRONMENT.txt   what to install, and what was installed where this archive was made
CHECKSUMS   the sha256 of every other file

README.md says what is in each file. Every Parquet file and every figure says itself what produced it.
{remarks}
To check that every file is as it was:

    sha256sum --check --quiet CHECKSUMS

To check also that none was added, and that the verdicts follow from the metrics, with requirements.txt installed:

    PYTHONPATH=workflow python -m lowrank_dynamics check-archive .
"""


class Entry(NamedTuple):
    """What lies at one place of an archive: the content of a file, or where a link leads."""

    content: bytes
    executable: bool = False
    leads_to: str = ""


class Archived(NamedTuple):
    """The archive that was written, and what its reader should know of it."""

    path: Path
    files: int
    remarks: list[str]


def write_archive(root: Path, scale: str, folder: Path) -> Archived:
    """Write the archive of the run at `scale` in the project `root` to `folder`, named after version, scale and commit.

    Raises UserError, and writes nothing, if there is no clean commit or no whole run, if a file does not say what
    produced it, or if the metrics are of other settings or give other verdicts.
    """
    commit = _clean_commit(root)
    settings = load_settings(scale, root / "configs")
    results = _results(root, scale)
    traced = with_provenance(results)
    if found := [*untraced(root, traced), *contradictions(root, scale)]:
        raise UserError(
            "\n".join(f"{each}; delete it, run `make SCALE={scale}`, and then this again" for each in found)
        )
    absent, others = list(_absent(scale, settings, traced)), list(_of_other_code(root, traced, commit))
    entries = _sources(root) | {name: Entry((root / name).read_bytes()) for name in results}
    entries["ENVIRONMENT.txt"] = Entry(_environment().encode())
    remarks = [*absent, *(others or ["All of them were made by the code of this commit."])]
    entries[GUIDE] = Entry(_guide(scale, commit, remarks).encode())
    contents = {name: entry.content for name, entry in entries.items() if not entry.leads_to}
    entries[CHECKSUMS] = Entry(checksums(contents).encode())
    path = folder / f"lowrank-dynamics-{__version__}-{scale}-{commit[:8]}.tar.gz"
    _pack(entries, int(_git(root, "show", "--no-patch", "--format=%ct", "HEAD")), path)
    return Archived(path, len(contents), absent + others)


def _clean_commit(root: Path) -> str:
    """Return the commit of the project. Raises UserError if it has none or differs from it."""
    if _git(root, "rev-parse", "--show-prefix").strip():
        raise UserError(f"{root.resolve()} is only a part of a git repository; run this in a clone of the project")
    if changed := _git(root, "diff", "--name-only", "HEAD").decode().split("\n")[:-1]:
        raise UserError(f"{', '.join(changed)} in {root.resolve()} differ from the commit; commit or undo the changes")
    return _git(root, "rev-parse", "HEAD").decode().strip()


def _git(root: Path, *arguments: str) -> bytes:
    """Return the output of git in `root`. Raises UserError if it cannot be run or refuses."""
    try:
        return git(root, *arguments)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split())
        raise UserError(f"{root.resolve()} has no commit ({reason}); run this in a clone of the project") from error
    except OSError as error:
        raise UserError(f"the sources cannot be read without git ({error.strerror}); install it") from error


def _results(root: Path, scale: str) -> list[str]:
    """Return the names of the results and figures of a run. Raises UserError if some kind of them is missing."""
    needed = [f"results/{scale}/{pattern}" for pattern in NEEDED]
    needed += [f"figures/{scale}/*.{extension}" for extension in FORMATS]
    found = {pattern: list(root.glob(pattern)) for pattern in needed}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise UserError(f"there is no {', no '.join(missing)} in {root.resolve()}; run `make SCALE={scale}` first")
    paths = [path for paths in found.values() for path in paths]
    paths += [path for name in IF_THERE if (path := root / "results" / scale / name).is_file()]
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _sources(root: Path) -> dict[str, Entry]:
    """Return every file of the project's commit, by name."""
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "--format=tar", "HEAD"))) as tar:
        return {member.name: _entry(tar, member) for member in tar if not member.isdir()}


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = tar.extractfile(member) if member.isfile() else None
    return Entry(content.read() if content else b"", bool(member.mode & 0o100), member.linkname)


def _absent(scale: str, settings: Settings, traced: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on the figures of metrics that a run does not have, if there are any."""
    if absent := [name for name in figures_of(settings.experiments) if f"figures/{scale}/{name}.pdf" not in traced]:
        yield f"Not in this run: {', '.join(absent)}."


def _of_other_code(root: Path, traced: Sequence[str], commit: str) -> Iterator[str]:
    """Yield a sentence for each other code than that of the commit that results were made by."""
    codes = {name: CODE.findall(json.dumps(read_provenance(root / name))) for name in traced}
    for code in sorted({code for named in codes.values() for code in named} - {f"{__version__} at {commit}"}):
        names = [name for name, named in codes.items() if code in named]
        which = "every file of metrics, every figure, the verdicts" if names == list(traced) else ", ".join(names)
        yield f"Not made by the code of this commit, but by {code}: {which}."


def _environment() -> str:
    """Return the installed packages with their versions, in lines that pip reads, Python's version and the platform."""
    installed = {f"{found.name}=={found.version}" for found in distributions()}
    head = f"# Python {platform.python_version()}, {platform.platform()}"
    return "\n".join([head, *sorted(installed, key=str.lower)]) + "\n"


def _guide(scale: str, commit: str, remarks: Sequence[str]) -> str:
    """Return the text that says what is in an archive and how to check it."""
    filled = "".join(f"\n{textwrap.fill(line, 110, break_long_words=False)}\n" for line in remarks)
    return TEXT.format(version=__version__, scale=scale, commit=commit, remarks=filled)


def _pack(entries: Mapping[str, Entry], time: int, path: Path) -> None:
    """Write entries to a folder named after the archive, all of one time and of nobody, in the order of their names."""
    top = path.name.removesuffix(".tar.gz")
    with (
        replacing(path) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name in sorted(entries):
            entry, member = entries[name], tarfile.TarInfo(f"{top}/{name}")
            member.mtime, member.mode = time, 0o755 if entry.executable else 0o644
            member.size, member.linkname = len(entry.content), entry.leads_to
            member.type = tarfile.SYMTYPE if entry.leads_to else tarfile.REGTYPE
            tar.addfile(member, io.BytesIO(entry.content))
