"""Whether an unpacked archive is whole, and its verdicts follow from the metrics and the settings in it.

It changes nothing, and imports no torch.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal

from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS, claims_table
from lowrank_dynamics.config.files import CLAIMS, load_settings
from lowrank_dynamics.config.registries import FORMATS
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.provenance import sha256

CHECKSUMS = "CHECKSUMS"
LEFT_BY_USE = {"__pycache__", ".venv", ".snakemake", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
"""Folders that come into an unpacked archive when the project in it is used; what is in them is not looked at."""
TOLERANCE = 1e-6
"""How far a value in the table of verdicts may be, relatively, from the same one computed on another machine."""


def check(folder: Path) -> str:
    """Return what was found in order in the folder that an archive was unpacked to.

    Raises UserError, with a sentence for each problem: files that are not as they were, or that were not there; files
    that do not say what produced them; metrics of other settings; verdicts that do not follow from the metrics.
    """
    listed = _listed(folder)
    if changes := list(_changes(folder, listed)):
        raise UserError("\n".join(changes))
    traced, judged = with_provenance(listed), sorted(folder.glob("results/*/claims.parquet"))
    if not judged:
        raise UserError(
            f"{folder} holds no results/<scale>/claims.parquet, and so no verdicts; fetch the archive again"
        )
    scales = [table.parent.name for table in judged]
    if found := [*untraced(folder, traced), *(each for scale in scales for each in contradictions(folder, scale))]:
        raise UserError("\n".join(f"{each}; fetch the archive again, or tell who made it" for each in found))
    verdicts = sum(tables.read(table, COLUMNS).rows["claim"].nunique() for table in judged)
    return (
        f"{folder.resolve().name}: {len(listed)} files have their checksums, {len(traced)} of them say what produced "
        f"them, and the metrics give the {verdicts} verdicts again"
    )


def checksums(contents: Mapping[str, bytes]) -> str:
    """Return the sha256 of each content by name, in lines that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents))


def with_provenance(names: Iterable[str]) -> list[str]:
    """Return which files of a project are results that must say what produced them."""
    endings = (".parquet", *(f".{extension}" for extension in FORMATS))
    return [name for name in names if name.startswith(("results/", "figures/")) and name.endswith(endings)]


def untraced(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield a clause for each of the files below `root` that does not say what produced it."""
    for name in names:
        try:
            read_provenance(root / name)
        except UserError as error:
            yield str(error)


def contradictions(root: Path, scale: str) -> Iterator[str]:
    """Yield a clause for each file of metrics of other settings than those in `root`, and for verdicts that differ.

    The verdicts are given again from the metrics of the experiments that the table in `root` names as its own.
    Raises UserError if a file cannot be read.
    """
    configs, results = root / "configs", root / "results" / scale
    settings, path = load_settings(scale, configs), results / "claims.parquet"
    runs = {}
    for file in sorted(results.glob("metrics/*.parquet")):
        run = runs[file.stem] = metrics.read(file)
        variants = settings.experiments[file.stem].variants if file.stem in settings.experiments else ()
        expected = {settings.of_variant(file.stem, variant).digest for variant in variants}
        if (run.scale, run.values("experiment")) != (scale, {file.stem}):
            yield f"{file} is of another experiment or scale than its place says"
        elif not {cell.settings_sha256 for cell in run.cells.values()} <= expected:
            yield f"{file} was computed with other settings than those in {configs}"
    table = tables.read(path, COLUMNS)
    judged = table.origin.get("settings_sha256", {})
    if missing := set(judged) - set(runs):
        yield f"{path} is about {', '.join(sorted(missing))}, of which there are no metrics"
        return
    again = claims_table(load_claims(configs / CLAIMS), {name: runs[name] for name in judged}, settings, scale)
    if names := _differing(table.rows, again):
        yield f"{path} contradicts the metrics beside it on {', '.join(names)}"


def _listed(folder: Path) -> dict[str, str]:
    """Return the checksums by the files' names. Raises UserError if there are none, or not in the form they have."""
    path = folder / CHECKSUMS
    if not path.is_file():
        raise UserError(f"{path} is missing; name the folder that an archive was unpacked to")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    if None in found or not found:
        raise UserError(f"{path} is not a list of sha256 and file, one a line; unpack the archive again")
    return {match[2]: match[1] for match in found if match}


def _changes(folder: Path, listed: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence each on the files that differ from their checksums, are missing, or were added."""
    present = set(_files(folder)) - {CHECKSUMS}
    again = "unpack the archive again, or fetch it again"
    for name in sorted(present & set(listed)):
        if sha256(folder / name) != listed[name]:
            yield f"{folder / name} differs from its checksum; {again}"
    yield from (f"{folder / name} is missing; {again}" for name in sorted(set(listed) - present))
    yield from (
        f"{folder / name} is not of the archive; take it out of the folder" for name in sorted(present - set(listed))
    )


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of the files below a folder, except for what use leaves there."""
    for parent, folders, names in os.walk(folder):  # it does not go where links to folders lead
        folders[:] = [name for name in folders if name not in LEFT_BY_USE]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names)


def _differing(table: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """Return the claims whose rows differ in two tables of verdicts, except for rounding of the values."""
    stored = pa.Table.from_pandas(again, preserve_index=False).to_pandas()  # with the types that files have
    differing = []
    for name in dict.fromkeys([*table["claim"], *stored["claim"]]):
        left, right = (rows[rows["claim"] == name].reset_index(drop=True) for rows in (table, stored))
        try:
            assert_frame_equal(left, right, check_dtype=False, rtol=TOLERANCE, atol=1e-12)
        except AssertionError:
            differing.append(name)
    return differing
