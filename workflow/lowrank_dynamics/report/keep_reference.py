"""Make a run the reference of its scale, to compare later runs with; trials may be added run by
run.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.gathering import gathered
from lowrank_dynamics.analysis.reference import FOLDER, thinned
from lowrank_dynamics.analysis.table import COLUMNS, claims_table
from lowrank_dynamics.analysis.verdicts import WAS_NOT_RUN
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.config.figures import FIGURES
from lowrank_dynamics.config.files import CLAIMS, at_paper_scale, load_settings, statements_of
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures.draw import draw
from lowrank_dynamics.report.claims_markdown import as_page
from lowrank_dynamics.storage import metrics, provenance, tables
from lowrank_dynamics.storage.metrics import Metrics


class Kept(NamedTuple):
    """A file of the reference, and its content in words."""

    path: Path
    content: str


def keep(root: Path, scale: str) -> list[Kept]:
    """Make the run at `scale` in the project `root` the reference: thinned metrics, verdicts and
    PNG figures.

    If an experiment is not aggregated yet, its complete jobs are kept. Trials and cells that an
    earlier call kept stay if they have the same settings and code. Experiments that the reference
    has at paper scale with the same settings are left out, as are figures of those alone. A
    sensitivity study's table is kept if one was run. Returns what was written; what was not run
    this time keeps its reference. Raises UserError if there are no metrics, if kept trials would be
    lost, or if numbers are from uncommitted code.
    """
    configs, results, folder = root / "configs", root / "results" / scale, root / FOLDER / scale
    settings, own = load_settings(scale, configs), _own_experiments(root, scale)
    kept = {name: folder / f"{name}.parquet" for name in settings.experiments if name in own}
    found = {
        name: gathered(results, scale, kept.get(name), settings, name)
        for name in settings.experiments
    }
    there = {name: each for name, each in found.items() if each}
    written = {kept[name]: each.metrics for name, each in there.items() if name in own}
    if not written:
        raise UserError(
            f"{results} has no metrics to keep; run `snakemake --config scale={scale}` first"
        )
    _require_commits(written.values())
    for path, each in written.items():
        metrics.write(thinned(each), path)
    verdicts = folder / f"{Path(CLAIMS).stem}.parquet"
    runs = {name: each.metrics for name, each in there.items()}
    _keep_verdicts(runs, settings, scale, statements_of(scale, configs), verdicts)
    sources = {name: each.file for name, each in there.items() if each.file}
    for name in (name for name in own if name in there and name not in sources):
        if {cell.name for cell in settings.cells(name)} == set(there[name].metrics.cells):
            sources[name] = kept[name]
    varied = _keep_sensitivity(results, folder)
    pictures = [*_keep_pictures(root, scale, own, sources), *_keep_summaries(root, scale)]
    return [
        *(Kept(path, each.trials) for path, each in written.items()),
        Kept(verdicts, "verdicts"),
        *(Kept(path, "verdicts of the sensitivity study") for path in varied),
        *(Kept(path, "figure") for path in pictures),
    ]


def _require_commits(runs: Iterable[Metrics]) -> None:
    """Raise UserError, naming the cells, if any was trained by code that differs from its
    commit.
    """
    dirty = [
        name
        for run in runs
        for name, origin in run.cells.items()
        if provenance.DIRTY in origin.code
    ]
    if dirty:
        raise UserError(
            f"{', '.join(dirty)}: trained by code that is in no commit, so nobody could run it"
            " again; commit the changes of workflow/lowrank_dynamics, and run it again with"
            " `--forcerun train`"
        )


def _keep_verdicts(
    runs: Mapping[str, Metrics], settings: Settings, scale: str, statements: Path, target: Path
) -> None:
    """Write the verdicts to `target`, keeping those there on experiments that were not run this
    time.
    """
    rows = claims_table(load_claims(statements), runs, settings, scale)
    origin = provenance.verdicts_origin(
        scale, statements, {name: run.cells for name, run in runs.items()}
    )
    unverified = {data for run in runs.values() for data in run.unverified}
    if target.exists():
        kept = tables.read(target, COLUMNS)
        absent = rows["reason"].str.endswith(WAS_NOT_RUN) & rows["claim"].isin(kept.rows["claim"])
        joined = pd.concat(
            [rows[~absent], kept.rows[kept.rows["claim"].isin(rows.loc[absent, "claim"])]]
        )
        order = {name: place for place, name in enumerate(rows["claim"].unique())}
        rows = joined.sort_values(
            "claim", key=lambda names: names.map(order), kind="stable", ignore_index=True
        )
        origin["settings_sha256"] = kept.origin["settings_sha256"] | origin["settings_sha256"]
        unverified |= set(kept.unverified)
    origin["unverified"] = sorted(unverified)
    tables.write(tables.Table(rows, origin), as_page(rows, scale, origin["unverified"]), target)


def _keep_pictures(
    root: Path, scale: str, own: set[str], sources: Mapping[str, Path]
) -> Iterator[Path]:
    """Keep the figures of the experiments: as the run drew them, or redrawn where the reference has
    more.
    """
    drawn, pictures = root / "figures" / scale, root / "figures" / "reference" / scale
    pictures.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        if not own & set(figure.experiments) or not sources.keys() >= set(figure.experiments):
            continue
        files = [sources[experiment] for experiment in figure.experiments]
        with TemporaryDirectory() as place:
            folder = drawn
            if any(root / FOLDER in file.parents for file in files):
                folder = Path(place)
                draw(name, files, folder / name, scale)
            if (picture := folder / f"{name}.png").exists():
                yield Path(shutil.copy(picture, pictures))


def _keep_sensitivity(results: Path, folder: Path) -> list[Path]:
    """Keep the sensitivity study's table and page, if it was run; returns the table."""
    table = results / FIGURES["sensitivity"].table
    if not table.exists():
        return []
    shutil.copy(table.with_suffix(".md"), folder)
    return [Path(shutil.copy(table, folder))]


def _keep_summaries(root: Path, scale: str) -> Iterator[Path]:
    """Keep the figures of the reference's tables: its verdicts, which may come from several runs,
    and others.
    """
    for name, figure in FIGURES.items():
        table = root / FOLDER / scale / figure.table
        if figure.table and table.exists():
            with TemporaryDirectory() as place:
                draw(name, [table], Path(place) / name)
                yield Path(
                    shutil.copy(Path(place) / f"{name}.png", root / "figures" / "reference" / scale)
                )


def _own_experiments(root: Path, scale: str) -> set[str]:
    """Return the experiments that the paper-scale reference lacks or has with other settings; all
    at paper scale.
    """
    configs, at_paper = root / "configs", at_paper_scale(scale)
    own, paper = load_settings(scale, configs), load_settings(at_paper, configs)
    return {
        name
        for name, experiment in own.experiments.items()
        for variant in experiment.variants
        if scale == at_paper
        or not (root / FOLDER / at_paper / f"{name}.parquet").exists()
        or variant not in paper.experiment(name).variants
        or differing_keys(own.of_variant(name, variant), paper.of_variant(name, variant))
    }
