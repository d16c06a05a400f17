"""A run of the workflow: the only place that knows its settings, its name and its paths."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lowrank_dynamics.config.folder import CLAIMS, CONFIGS, FINDINGS
from lowrank_dynamics.config.loading import load_settings, load_study
from lowrank_dynamics.config.settings import Settings
from lowrank_dynamics.config.study import BEYOND, DECLARED, SENSITIVITY, Study


@dataclass(frozen=True)
class Run:
    """The paper's experiments at a scale, or a study of them.

    `study` is empty for the paper's own, `beyond` for our studies beyond the paper, and such as
    `sensitivity/width_64` for an alternative of the sensitivity study. Results and figures lie in
    `root`, settings in `configs`; `overrides` are further changes, each as `path=value`.
    """

    root: Path
    scale: str
    study: str = ""
    configs: Path = CONFIGS
    overrides: tuple[str, ...] = ()

    @classmethod
    def named(
        cls,
        name: str,
        root: Path = Path(),
        configs: Path = CONFIGS,
        overrides: Iterable[str] = (),
    ) -> "Run":
        """Return the run called `name`, such as `laptop` or `laptop/sensitivity/width_64`."""
        scale, _, study = name.partition("/")
        return cls(root, scale, study, configs, tuple(overrides))

    @property
    def name(self) -> str:
        """The name in paths and in provenance."""
        return f"{self.scale}/{self.study}" if self.study else self.scale

    @cached_property
    def settings(self) -> Settings:
        """The checked settings. Raises UserError, naming file and key, for a mistake in them."""
        return load_settings(self.scale, self.study, self.configs, self.overrides)

    @property
    def statements(self) -> Path:
        """The file of the statements to judge: our findings, or the paper's claims."""
        return self.configs / (FINDINGS if self.is_beyond else CLAIMS)

    @property
    def is_beyond(self) -> bool:
        """Whether these are the studies beyond the paper."""
        return self.study == BEYOND

    @property
    def alternative(self) -> str:
        """The alternative of the sensitivity study that this is; empty if none."""
        return self.study.removeprefix(f"{SENSITIVITY}/") if "/" in self.study else ""

    @cached_property
    def beyond(self) -> "Run":
        """The studies beyond the paper at this scale."""
        return replace(self, study=BEYOND)

    @property
    def alternatives(self) -> "list[Run]":
        """The runs of the sensitivity study at this scale, first that of the declared values."""
        names = (DECLARED, *self.sensitivity_study.alternatives)
        return [replace(self, study=f"{SENSITIVITY}/{name}") for name in names]

    @cached_property
    def sensitivity_study(self) -> Study:
        """The choices that the sensitivity study varies."""
        return load_study(self.configs)

    @cached_property
    def at_paper_scale(self) -> "Run":
        """The same experiments at paper scale, without overrides."""
        return replace(self, scale="paper", study=BEYOND if self.is_beyond else "", overrides=())

    @property
    def measured(self) -> "Run":
        """The run whose metrics are judged: itself, or the scale's own for `declared`."""
        return replace(self, study="") if self.alternative == DECLARED else self

    @property
    def results(self) -> Path:
        """The folder of all results but figures."""
        return self.root / "results" / self.name

    @property
    def figures(self) -> Path:
        """The folder of figures."""
        return self.root / "figures" / self.name

    @property
    def reference(self) -> Path:
        """The folder of what the repository keeps of such a run."""
        return self.root / "results" / "reference" / self.name

    @property
    def reference_figures(self) -> Path:
        """The folder of the figures that it keeps."""
        return self.root / "figures" / "reference" / self.name

    def kept(self, name: str) -> Path:
        """Return the file of an experiment's metrics, or of a table, that it keeps."""
        return self.reference / f"{name}.parquet"

    def cell_metrics(self, experiment: str, cell: str, trials: str) -> Path:
        """Return the file of the metrics of one job: some trials of a cell."""
        return self.cell_folder(experiment, cell) / f"{trials}.parquet"

    def cell_folder(self, experiment: str, cell: str) -> Path:
        """Return the folder of the metrics of a cell's jobs."""
        return self.cells_folder(experiment) / cell

    def cells_folder(self, experiment: str) -> Path:
        """Return the folder of the metrics of an experiment's jobs."""
        return self.results / "cells" / experiment

    def metrics(self, experiment: str) -> Path:
        """Return the file of the aggregated metrics of an experiment."""
        return self.metrics_folder / f"{experiment}.parquet"

    @property
    def metrics_folder(self) -> Path:
        """The folder of the aggregated metrics of all experiments."""
        return self.results / "metrics"

    def table(self, name: str) -> Path:
        """Return the file of a table: `claims`, `comparison` or `sensitivity`."""
        return self.results / f"{name}.parquet"

    def page(self, name: str) -> Path:
        """Return the page that shows a table."""
        return self.table(name).with_suffix(".md")

    @property
    def report(self) -> Path:
        """The report."""
        return self.results / "report.html"

    @property
    def missing(self) -> Path:
        """The note on which figures could not be drawn, and why."""
        return self.results / "missing.txt"

    @property
    def claims_hold(self) -> Path:
        """The file that exists unless some claim is not reproduced."""
        return self.results / "claims.hold"

    def figure(self, name: str, extension: str) -> Path:
        """Return the file of a figure in one format."""
        return self.figures / f"{name}.{extension}"
