"""Check that a run's verdicts follow from its metrics and settings, and that every file has
provenance.

It changes nothing and imports no torch.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal

from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS, claims_table
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.folder import require_scale
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.embedded import READERS, read_provenance
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.provenance import drawn_from

TOLERANCE = 1e-6
"""The relative tolerance between a value in the table of verdicts and the same one from another
machine.
"""


def verify(results: Path) -> str:
    """Return what was verified in the folder `results/<scale>` of a project, or of an unpacked
    archive.

    Raises UserError, with a sentence for each problem.
    """
    run = _run_in(results.resolve())
    require_none(problems(run), f"run `make SCALE={run.scale}` again, or ask who made it")
    verdicts = tables.read(run.table("claims"), COLUMNS).rows["claim"].nunique()
    files = len(_traceable(run))
    return (
        f"{results}: {files} files say what produced them, and the metrics give the {verdicts}"
        " verdicts again"
    )


def problems(run: Run) -> Iterator[str]:
    """Yield, with what to delete, a clause for each file without provenance, for figures of other
    metrics, metrics with other settings, and verdicts that differ.
    """
    origins = {}
    for path in _traceable(run):
        try:
            origins[path] = read_provenance(path)
        except UserError as error:
            yield f"{error}; delete it"
    yield from contradictions(run)
    for path in origins:
        if path.parent != run.figures or path.stem not in FIGURES:
            continue
        files = [run.metrics(experiment) for experiment in FIGURES[path.stem].experiments]
        sources = drawn_from(origins[file] for file in files if file in origins)
        if sources and origins[path]["drawn_from"] != sources:
            yield f"{path} was not drawn from the metrics of the run; delete it"


def require_none(problems: Iterable[str], remedy: str) -> None:
    """Raise UserError, with a sentence for each problem, if there are any."""
    sentences = [f"{problem}, and {remedy}" for problem in problems]
    if sentences:
        raise UserError("\n".join(sentences))


def traceable(name: str | Path) -> bool:
    """Return whether a file of results must have provenance."""
    return Path(name).suffix in READERS


def _run_in(results: Path) -> Run:
    """Return the run in a folder of results. Raises UserError if it is not one."""
    for parent in results.parents:
        root = parent.parent
        if parent.name == "results" and (root / "configs").is_dir():
            name = results.relative_to(parent).as_posix()
            run = Run.named(name, root, root / "configs")
            require_scale(run.scale, run.configs)
            return run
    raise UserError(
        f"{results} is not a folder results/<scale> next to configs/; name that of a run or of an"
        " archive"
    )


def _traceable(run: Run) -> list[Path]:
    """Return the files of a run that must have provenance."""
    files: list[Path] = []
    for folder in (run.results, run.metrics_folder, run.figures):
        files += filter(traceable, sorted(folder.glob("*.*")))
    return files


def contradictions(run: Run) -> Iterator[str]:
    """Yield a clause for each metrics file with settings other than the run's, and for verdicts
    that differ.

    The verdicts are recomputed from the metrics of the experiments that the table names as its own.
    Raises UserError if a file cannot be read.
    """
    measured = {}
    for file in sorted(run.metrics_folder.glob("*.parquet")):
        name, experiment = file.stem, metrics.read(file)
        measured[name] = experiment
        if experiment.scale != run.name or experiment.values("experiment") != {name}:
            yield (
                f"{file} belongs to a different experiment or scale than its path indicates;"
                " delete it"
            )
        elif not _is_planned(experiment, run.settings, name):
            cells = run.cells_folder(name)
            yield (
                f"{file} was computed with other settings than those in {run.configs}; delete it,"
                f" {cells} and {run.table('claims')}"
            )
    path = run.table("claims")
    table = tables.read(path, COLUMNS)
    judged = table.origin.get("settings_sha256", {})
    missing = sorted(set(judged) - set(measured))
    if missing:
        yield f"{path} has verdicts on {', '.join(missing)}, whose metrics are missing; delete it"
        return
    evidence = {name: measured[name] for name in judged}
    again = claims_table(load_claims(run.statements), evidence, run.settings, run)
    names = _differing(table.rows, again)
    if names:
        yield f"{path} contradicts the metrics next to it on {', '.join(names)}; delete it"


def require_planned(measured: Metrics, run: Run, path: Path) -> None:
    """Raise UserError for metrics that were computed with other settings than the run's."""
    if not _is_planned(measured, run.settings, path.stem):
        raise UserError(
            f"{path} was computed with other settings than the run has; name another file, or"
            f" delete it and {run.cells_folder(path.stem)}, and run again"
        )


def _is_planned(measured: Metrics, settings: Settings, name: str) -> bool:
    """Return whether the cells of an experiment were computed with the settings of its variants."""
    if name not in settings.experiments:
        return False
    variants = settings.experiments[name].variants
    digests = {settings.of_variant(name, variant).digest for variant in variants}
    computed = [cell.settings for cell in measured.cells.values()]
    return all(found is not None and found.digest in digests for found in computed)


def _differing(table: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """Return the claims whose rows differ in two tables of verdicts, except for rounding of the
    values.
    """
    arrow = pa.Table.from_pandas(again, preserve_index=False)
    stored = arrow.to_pandas()  # with the types that files have
    names = pd.concat([table["claim"], stored["claim"]]).unique()
    differing = []
    for name in names:
        left = table[table["claim"] == name].reset_index(drop=True)
        right = stored[stored["claim"] == name].reset_index(drop=True)
        try:
            assert_frame_equal(left, right, check_dtype=False, rtol=TOLERANCE, atol=1e-12)
        except AssertionError:
            differing.append(name)
    return differing
