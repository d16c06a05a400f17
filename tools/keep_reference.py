"""Make a run the reference of its scale, to compare later runs with; trials may be added run by
run.

In the project's root: `python -m tools.keep_reference --run laptop`.
"""

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from lowrank_dynamics.analysis import sensitivity
from lowrank_dynamics.analysis.claims import Claims, load_claims
from lowrank_dynamics.analysis.readable import claims_summary
from lowrank_dynamics.analysis.table import COLUMNS, claims_table, read_otherwise
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.config.figures import ANIMATION, FIGURES
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures.draw import animate, draw
from lowrank_dynamics.storage import metrics, provenance, tables
from lowrank_dynamics.storage.metrics import Metrics
from lowrank_dynamics.storage.repository import DIRTY
from tools.gathering import Gathered, gathered
from tools.thinning import thinned


class Kept(NamedTuple):
    """A file of the reference, and its content in words."""

    path: Path
    content: str


def main() -> None:
    """Keep a run, and say what was written."""
    parser = ArgumentParser(prog="python -m tools.keep_reference", description=__doc__)
    parser.add_argument("--run", default="laptop")
    name = parser.parse_args().run
    try:
        for kept in keep(Run.named(name, configs=Path("configs"))):
            print(f"{kept.path}: {kept.content}, {kept.path.stat().st_size / 1000:.0f} kB")
    except UserError as error:
        sys.exit(f"error: {error}")


def keep(run: Run) -> list[Kept]:
    """Make a run the reference: thinned metrics, verdicts, and figures as PNG or animation.

    If an experiment is not aggregated yet, its complete jobs are kept. Trials and cells that an
    earlier call kept stay if they have the same settings and code. Experiments that the reference
    has at paper scale with the same settings are left out, as are figures of those alone. A
    sensitivity study's table is kept if one was run. Returns what was written; what was not run
    this time keeps its reference. Raises UserError, before anything is written, if there are no
    metrics, if kept trials would be lost, if numbers are from uncommitted code, or if a kept
    verdict was reached with other thresholds than the statements have.
    """
    wanted = _wanted(run)
    available = _available(run, wanted)
    measured = {name: part.metrics for name, part in available.items()}
    kept = {name: metrics for name, metrics in measured.items() if name in wanted}
    if not kept:
        raise UserError(
            f"{run.results} has no metrics to keep; run `snakemake --config scale={run.scale}`"
            " first"
        )
    _require_commits(kept.values())
    study = _sensitivity_study(run)
    verdicts = run.kept("claims")
    judged = _judged(run, measured, verdicts)
    written = []
    for name, experiment in kept.items():
        path = run.kept(name)
        metrics.write(thinned(experiment), path)
        written.append(Kept(path, experiment.trials_in_words))
    tables.write_without_page(judged, verdicts)
    written.append(Kept(verdicts, "verdicts"))
    if study is not None:
        path = run.kept("sensitivity")
        tables.write_without_page(study, path)
        written.append(Kept(path, "verdicts of the sensitivity study"))
    sources = _sources(run, available, wanted)
    pictures = chain(_keep_figures(run, wanted, sources), _keep_summaries(run))
    written += [Kept(path, "figure") for path in pictures]
    return written


def _wanted(run: Run) -> list[str]:
    """Return the experiments that the paper-scale reference lacks or has with other settings; all
    at paper scale.
    """
    paper = run.at_paper_scale
    wanted = []
    for name in run.settings.experiments:
        is_kept = paper.kept(name).exists()
        if run == paper or not is_kept or _differ(run.settings, paper.settings, name):
            wanted.append(name)
    return wanted


def _differ(settings: Settings, paper: Settings, experiment: str) -> bool:
    """Return whether any variant of an experiment has other settings at paper scale, or is not
    there.
    """
    for variant in settings.experiments[experiment].variants:
        if variant not in paper.experiment(experiment).variants:
            return True
        here = settings.of_variant(experiment, variant)
        there = paper.of_variant(experiment, variant)
        if differing_keys(here, there):
            return True
    return False


def _available(run: Run, wanted: Collection[str]) -> dict[str, Gathered]:
    """Return what there is of each experiment: of the run and, if it is `wanted`, of its
    reference.
    """
    available = {}
    for name in run.settings.experiments:
        reference = run.kept(name) if name in wanted else None
        part = gathered(run, reference, name)
        if part is not None:
            available[name] = part
    return available


def _require_commits(experiments: Iterable[Metrics]) -> None:
    """Raise UserError, naming the cells, if any was trained by code that differs from its
    commit.
    """
    dirty = []
    for experiment in experiments:
        dirty += [name for name, origin in experiment.cells.items() if DIRTY in origin.code]
    if dirty:
        raise UserError(
            f"{', '.join(dirty)}: trained by code that is in no commit, so nobody could run it"
            " again; commit the changes of workflow/lowrank_dynamics, and run it again with"
            " `--forcerun train`"
        )


def _sensitivity_study(run: Run) -> tables.Table | None:
    """Return the table of the sensitivity study, if one was run. Raises UserError if it was judged
    by code that differs from its commit.
    """
    path = run.table("sensitivity")
    if not path.exists():
        return None
    study = tables.read(path, sensitivity.COLUMNS)
    if DIRTY in study.origin["code"]:
        raise UserError(
            f"{path}: judged by code that is in no commit, so nobody could run it again; commit the"
            " changes of workflow/lowrank_dynamics, and run `make sensitivity` again, or delete it"
        )
    return study


def _judged(run: Run, measured: Mapping[str, Metrics], target: Path) -> tables.Table:
    """Return the verdicts, with those in `target` on experiments that were not run this time."""
    claims = load_claims(run.statements)
    rows = claims_table(claims, measured, run.settings, run)
    statements = provenance.sha256(run.statements)
    origin = provenance.table_origin(run.name, measured, claims_sha256=statements)
    if target.exists():
        kept = tables.read(target, COLUMNS)
        earlier = _not_run_anew(rows, kept.rows)
        _require_same_readings(earlier, claims, target)
        rows = _with_kept(rows, earlier)
        origin["settings_sha256"] = kept.origin["settings_sha256"] | origin["settings_sha256"]
        origin["unverified"] = sorted({*origin["unverified"], *kept.unverified})
    origin["summary"] = claims_summary(rows)
    return tables.Table(rows, origin)


def _not_run_anew(rows: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """Return the kept verdicts on experiments that were run earlier and not this time."""
    not_run = rows.loc[rows["run_trials"] == 0, "claim"]
    return kept[(kept["run_trials"] > 0) & kept["claim"].isin(not_run)]


def _require_same_readings(kept: pd.DataFrame, claims: Claims, target: Path) -> None:
    """Raise UserError if kept verdicts were reached with other thresholds than claims have now."""
    changed = read_otherwise(kept, claims)
    if changed:
        experiments = kept.loc[kept["claim"].isin(changed), "experiment"].unique()
        raise UserError(
            f"{target} has verdicts on {', '.join(changed)} by other thresholds than the statements"
            f" have now; run {', '.join(experiments)} too, or restore the thresholds"
        )


def _with_kept(rows: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts with the kept ones in place of those on the same claims."""
    joined = pd.concat([rows[~rows["claim"].isin(kept["claim"])], kept])
    order = {name: place for place, name in enumerate(rows["claim"].unique())}
    return joined.sort_values(
        "claim", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def _sources(
    run: Run, available: Mapping[str, Gathered], wanted: Collection[str]
) -> dict[str, Path]:
    """Return the file of each experiment that figures can be drawn from: the run's own or, if that
    has less, the reference's, provided that no cell is missing.
    """
    sources = {}
    for name, part in available.items():
        cells = {cell.name for cell in run.settings.cells(name)}
        if part.file:
            sources[name] = part.file
        elif name in wanted and cells == set(part.metrics.cells):
            sources[name] = run.kept(name)
    return sources


def _keep_figures(run: Run, wanted: Collection[str], sources: Mapping[str, Path]) -> Iterator[Path]:
    """Keep the figures of the experiments: as the run drew them, or redrawn where the reference has
    more, or where an optional experiment was not run.
    """
    for name, figure in FIGURES.items():
        if set(figure.experiments).isdisjoint(wanted):
            continue
        if not sources.keys() >= set(figure.required):
            continue
        is_whole = sources.keys() >= set(figure.experiments)
        shown = figure.experiments if is_whole else figure.required
        files = [sources[experiment] for experiment in shown]
        if not is_whole or any(run.reference in file.parents for file in files):
            yield from _keep_drawn(run, name, files)
            continue
        for extension in _pictures(name):
            picture = run.figure(name, extension)
            if picture.exists():
                yield _keep_picture(run, picture)


def _keep_summaries(run: Run) -> Iterator[Path]:
    """Keep the figures of the reference's tables."""
    for name, figure in FIGURES.items():
        table = run.kept(figure.table)
        if figure.table and table.exists():
            yield from _keep_drawn(run, name, [table])


def _keep_drawn(run: Run, name: str, files: list[Path]) -> Iterator[Path]:
    """Draw a figure, and its animation if it has one, from files of the reference, and keep
    them.
    """
    with TemporaryDirectory() as place:
        stem = Path(place) / name
        draw(name, files, stem, run.name)
        if FIGURES[name].animated:
            animate(name, files, stem.with_suffix(f".{ANIMATION}"), run.name)
        for extension in _pictures(name):
            yield _keep_picture(run, stem.with_suffix(f".{extension}"))


def _pictures(name: str) -> list[str]:
    """Return the formats in which a figure is kept."""
    return ["png", ANIMATION] if FIGURES[name].animated else ["png"]


def _keep_picture(run: Run, picture: Path) -> Path:
    run.reference_figures.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(picture, run.reference_figures))


if __name__ == "__main__":
    main()
