"""Check that a run's verdicts follow from its metrics and settings, and that every file has
provenance.

It changes nothing and imports no torch.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal

from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS, claims_table
from lowrank_dynamics.config.figures import FORMATS
from lowrank_dynamics.config.files import load_settings, statements_of
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import read_provenance

TOLERANCE = 1e-6
"""The relative tolerance between a value in the table of verdicts and the same one from another
machine.
"""


def verify(results: Path) -> str:
    """Return what was verified in the folder `results/<scale>` of a project, or of an unpacked
    archive.

    Raises UserError, with a sentence for each problem.
    """
    root, scale = _split(results.resolve())
    if found := list(problems(root, scale)):
        raise UserError(
            "\n".join(
                f"{each}; run `make SCALE={scale}` again, or ask who made it" for each in found
            )
        )
    verdicts = tables.read(results / "claims.parquet", COLUMNS).rows["claim"].nunique()
    files = len(list(_traceable(root, scale)))
    return (
        f"{results}: {files} files say what produced them, and the metrics give the {verdicts}"
        " verdicts again"
    )


def problems(root: Path, scale: str) -> Iterator[str]:
    """Yield a clause for each file without provenance, for metrics with other settings, and
    verdicts that differ.
    """
    for path in _traceable(root, scale):
        try:
            read_provenance(path)
        except UserError as error:
            yield str(error)
    yield from contradictions(root, scale)


def traceable(name: str | Path) -> bool:
    """Return whether a file of results must have provenance."""
    return Path(name).suffix.removeprefix(".") in ("parquet", *FORMATS)


def _split(results: Path) -> tuple[Path, str]:
    """Return the project and the scale of a results folder. Raises UserError if it is not one."""
    for parent in results.parents:
        if parent.name == "results" and (parent.parent / "configs").is_dir():
            return parent.parent, results.relative_to(parent).as_posix()
    raise UserError(
        f"{results} is no folder results/<scale> beside configs/; name that of a run or of an"
        " archive"
    )


def _traceable(root: Path, scale: str) -> Iterator[Path]:
    folders = (
        root / "results" / scale,
        root / "results" / scale / "metrics",
        root / "figures" / scale,
    )
    return (path for folder in folders for path in sorted(folder.glob("*.*")) if traceable(path))


def contradictions(root: Path, scale: str) -> Iterator[str]:
    """Yield a clause for each metrics file with settings other than those in `root`, and for
    verdicts that differ.

    The verdicts are recomputed from the metrics of the experiments that the table in `root` names
    as its own. Raises UserError if a file cannot be read.
    """
    configs, results = root / "configs", root / "results" / scale
    settings, path = load_settings(scale, configs), results / "claims.parquet"
    runs = {}
    for file in sorted(results.glob("metrics/*.parquet")):
        run = runs[file.stem] = metrics.read(file)
        variants = (
            settings.experiments[file.stem].variants if file.stem in settings.experiments else ()
        )
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
    again = claims_table(
        load_claims(statements_of(scale, configs)),
        {name: runs[name] for name in judged},
        settings,
        scale,
    )
    if names := _differing(table.rows, again):
        yield f"{path} contradicts the metrics beside it on {', '.join(names)}"


def _differing(table: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """Return the claims whose rows differ in two tables of verdicts, except for rounding of the
    values.
    """
    stored = pa.Table.from_pandas(
        again, preserve_index=False
    ).to_pandas()  # with the types that files have
    differing = []
    for name in dict.fromkeys([*table["claim"], *stored["claim"]]):
        left, right = (
            rows[rows["claim"] == name].reset_index(drop=True) for rows in (table, stored)
        )
        try:
            assert_frame_equal(left, right, check_dtype=False, rtol=TOLERANCE, atol=1e-12)
        except AssertionError:
            differing.append(name)
    return differing
