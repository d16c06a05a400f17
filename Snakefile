# Rebuilds the figures of the paper at one scale: `snakemake --cores all [--config scale=smoke|laptop|paper]`.
import os
import re
import sys
import time
from pathlib import Path
from shlex import quote

from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.19")
started = time.monotonic()

# The rules' commands run the Python that Snakemake runs in, unless conda makes one for them. They import the package of
# this checkout, whether or not it is installed, and no module that happens to lie where the run is. Results and figures
# are written there: here, or in the folder of `--directory`.
project = Path(str(workflow.current_basedir))
sys.path.insert(0, str(project / "workflow"))
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    shell.prefix('python() {{ exec %s "$@"; }}; ' % quote(sys.executable))
search_path = [
    str(project / "workflow"),
    *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
]
os.environ.update(PYTHONPATH=os.pathsep.join(search_path), PYTHONSAFEPATH="1")
os.environ.update(
    LOWRANK_RUN=str(os.getpid())
)  # a job ends when this run does, even if it is killed

from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.config import budget, files
from lowrank_dynamics.config.parts import part_of
from lowrank_dynamics.config.figures import FIGURES, FORMATS, SUMMARY, figures_of, sortable, title
from lowrank_dynamics.config.registries import CONVOLUTIONS, IMAGES, labels
from lowrank_dynamics.config.resources import features_demand, training_demand
from lowrank_dynamics.config.settings import shard_name, shard_of
from lowrank_dynamics.data import external
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.outcome import missing, note_missing, outcome
from lowrank_dynamics.storage import occupancy
from lowrank_dynamics.storage.code import code_sha256, contents_sha256
from lowrank_dynamics.storage.places import (
    require_modes,
    require_past,
    require_place,
    require_plain,
    require_writable,
)
from lowrank_dynamics.storage.provenance import unreadable_repository
from lowrank_dynamics.training import gpus
from lowrank_dynamics.training.interruption import can_follow

try:
    require_place(Path(), "results", "figures")
    require_plain(project, Path.cwd())
    request = files.requested(config)
    scale = request.scale
    settings = files.load_with_study(
        scale, trials=request.trials, trials_per_job=request.trials_per_job, gpu=request.gpu
    )
    study = files.load_study()
    for name in (scale, f"{scale}/beyond"):
        statements = files.statements_of(name)
        load_claims(statements).check(settings[name], statements)
except (UserError, OSError) as error:
    sys.exit(f"error: {error}")

if workflow.is_main_process and (said := occupancy.clear(Path(".snakemake"))):
    print(f"note: {said}", file=sys.stderr)

# On one machine no more jobs take a GPU at a time than it has; on a cluster the scheduler sees to that.
if workflow.local_exec and "gpu" not in workflow.global_resources and gpus.count():
    workflow.register_resource("gpu", gpus.count())

# A cluster's profile limits the time of a job; what cannot be done within it, or on the GPU, is named beforehand.
if workflow.is_main_process and "runtime" in workflow.global_resources:
    for problem in budget.impossible(settings[scale], workflow.global_resources["runtime"].value):
        print(f"warning: {problem}", file=sys.stderr)


wildcard_constraints:
    name="|".join(external.NAMES),
    images="|".join(IMAGES),
    scale=f"{re.escape(scale)}(/beyond|/sensitivity/[a-z0-9_.]+)?",
    experiment="|".join((*settings[scale].experiments, *settings[f"{scale}/beyond"].experiments)),
    figure="|".join(FIGURES),
    cell="[^/]+",
    trials="[0-9]+-[0-9]+",


include: "workflow/rules/inputs.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        figure_files("figures/{scale}/{figure}.{format}", fetched=False),
        lambda wildcards: figure_files("figures/{scale}/{figure}.{format}", fetched=True),
        f"results/{scale}/claims.parquet",
        f"results/{scale}/comparison.parquet",
        f"results/{scale}/report.html",
        f"results/{scale}/claims.hold" if request.strict_claims else [],
    localrule: True
    message:
        "All figures, verdicts and the report are there"


rule beyond:
    input:
        figure_files("figures/{scale}/{figure}.{format}", fetched=False, scale=f"{scale}/beyond"),
        f"results/{scale}/beyond/claims.parquet",
        f"results/{scale}/beyond/comparison.parquet",
    localrule: True
    message:
        "All figures and findings beyond the paper are there"


rule sensitivity:
    input:
        expand("figures/{scale}/sensitivity.{format}", scale=scale, format=FORMATS),
    localrule: True
    message:
        "The sensitivity study is there"


rule compare:
    input:
        f"results/{scale}/comparison.parquet",
    localrule: True
    message:
        "The comparison with the reference is there"


onstart:
    try:
        for folder in ("results", "figures"):
            require_writable(Path(folder))
        require_past(Path("results"), "data", scale)
        if isinstance(workflow.persistence, FilePersistence):
            require_modes(Path(".snakemake"))
        occupancy.occupy(Path(".snakemake"), scale, local=workflow.local_exec and can_follow())
    except UserError as error:
        sys.exit(f"error: {error}")
    if reason := unreadable_repository():
        print(
            f"warning: results will not name the commit of their code, because {reason}",
            file=sys.stderr,
        )
    # With a limit on the jobs that start in a second, Snakemake looks at the ready ones again every second, and once
    # more for each job that has ended: in a run of ten minutes that takes a tenth of all CPU time.
    workflow.scheduler.job_rate_limiter = None


onsuccess:
    note_missing(scale, unavailable())
    if (
        "MAKELEVEL" not in os.environ
    ):  # `make` says so itself, also where nothing was left to do
        print("", *outcome(scale, time.monotonic() - started), sep="\n")


onerror:
    note_missing(scale, unavailable())
    print(*missing(scale), sep="\n")
