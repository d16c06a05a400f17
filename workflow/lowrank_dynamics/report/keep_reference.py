"""Makes a run the reference of its scale, which later runs are compared with."""

import shutil
from pathlib import Path

import pandas as pd

from lowrank_dynamics.analysis.reference import FOLDER, thinned
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.analysis.verdicts import WAS_NOT_RUN
from lowrank_dynamics.config.diff import differing_keys
from lowrank_dynamics.config.files import at_paper_scale, load_settings
from lowrank_dynamics.config.registries import FIGURES
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.claims_markdown import as_page
from lowrank_dynamics.storage import metrics, tables


def keep(root: Path, scale: str) -> list[Path]:
    """Make the run at `scale` in the project `root` its reference: thinned metrics, verdicts and PNG figures.

    Left out are experiments that have the same settings at paper scale, where there are more trials, and figures of
    nothing else. Returns what was written; what was not run this time keeps the reference that it has. Raises UserError
    if there are no metrics or no verdicts.
    """
    results, folder = root / "results" / scale, root / FOLDER / scale
    figures, pictures = root / "figures" / scale, root / "figures" / "reference" / scale
    own = _own_experiments(root / "configs", scale)
    sources = [path for path in sorted(results.glob("metrics/*.parquet")) if path.stem in own]
    judged = results / "claims.parquet"
    if not sources or not judged.exists():
        raise UserError(f"{results} has no metrics and verdicts to keep; run `snakemake --config scale={scale}` first")
    for source in sources:
        metrics.write(thinned(metrics.read(source, source.stem, scale)), folder / source.name)
    _keep_verdicts(judged, scale, folder / judged.name)
    named = [figures / f"{name}.png" for name, figure in FIGURES.items() if own & set(figure.experiments)]
    drawn = [picture for picture in named if picture.exists()]
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in drawn:
        shutil.copy(picture, pictures)
    return [*(folder / source.name for source in (*sources, judged)), *(pictures / picture.name for picture in drawn)]


def _keep_verdicts(source: Path, scale: str, target: Path) -> None:
    """Write the verdicts of a run to `target`, with those that are there on experiments that were not run this time."""
    found = tables.read(source, COLUMNS)
    rows, origin, unverified = found.rows, dict(found.origin), set(found.unverified)
    if target.exists():
        kept = tables.read(target, COLUMNS)
        absent = rows["reason"].str.endswith(WAS_NOT_RUN)
        joined = pd.concat([rows[~absent], kept.rows[kept.rows["claim"].isin(rows.loc[absent, "claim"])]])
        order = {name: place for place, name in enumerate(rows["claim"].unique())}
        rows = joined.sort_values("claim", key=lambda claims: claims.map(order), kind="stable", ignore_index=True)
        origin["settings_sha256"] = kept.origin["settings_sha256"] | origin["settings_sha256"]
        unverified |= set(kept.unverified)
    origin["unverified"] = sorted(unverified)
    tables.write(tables.Table(rows, origin), as_page(rows, scale, origin["unverified"]), target)


def _own_experiments(configs: Path, scale: str) -> set[str]:
    """Return the experiments that have other settings at `scale` than at paper scale; all of them at that one."""
    own, paper = load_settings(scale, configs), load_settings(at_paper_scale(scale), configs)
    return {
        name
        for name, experiment in own.experiments.items()
        for variant in experiment.variants
        if scale == at_paper_scale(scale)
        or variant not in paper.experiment(name).variants
        or differing_keys(own.of_variant(name, variant), paper.of_variant(name, variant))
    }
