# Rebuilds the figures of the paper at one scale: `snakemake --cores all [--config scale=smoke|laptop|paper]`.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

# The rules' commands import the package of this checkout, whether or not it is installed.
sys.path.insert(0, f"{workflow.basedir}/workflow")
os.environ.update(PYTHONPATH=f"{workflow.basedir}/workflow")

from lowrank_dynamics import demand, fetching, gpus
from lowrank_dynamics.activations import ACTIVATIONS
from lowrank_dynamics.claims.statements import load_claims
from lowrank_dynamics.config import (
    load_settings,
    load_study,
    load_with_study,
    measured_scale,
    requested,
    stored_at,
)
from lowrank_dynamics.config.data.kinds import module_of
from lowrank_dynamics.config.reductions import reductions
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, FORMATS, IN_SHORT, sortable, title
from lowrank_dynamics.optimizers import OPTIMIZERS
from lowrank_dynamics.pages import headline
from lowrank_dynamics.writing import require_writable

configs = Path(workflow.basedir, "configs")
try:
    request = requested(config)
    scale = request.scale
    settings = load_with_study(scale, configs)
    paper = load_settings("paper", configs)
    study = load_study(configs)
    claims = load_claims(configs / "claims.yaml")
    claims.check(settings[scale])
except UserError as error:
    raise WorkflowError(str(error))


# On one machine no more jobs take a GPU at a time than it has; on a cluster the scheduler sees to that.
if workflow.local_exec and "gpu" not in workflow.global_resources and gpus.count():
    workflow.register_resource("gpu", gpus.count())


# What takes seconds runs where Snakemake does, which has a network.
localrules:
    all,
    sensitivity,
    fetch,
    prepare,
    aggregate,
    figure,
    claims,
    claims_hold,
    card,
    claims_page,
    report,
    compare_verdicts,
    draw_sensitivity,
    compare,
    beside_reference,


wildcard_constraints:
    name="|".join(fetching.NAMES),
    scale=f"{scale}(/sensitivity/[a-z0-9_.]+)?",
    experiment="|".join(settings[scale].experiments),
    figure="|".join(FIGURES),


include: "workflow/rules/inputs.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        of_figures("figures/{scale}/{figure}.{format}", fetched=False),
        lambda wildcards: of_figures("figures/{scale}/{figure}.{format}", fetched=True),
        f"results/{scale}/claims.parquet",
        f"results/{scale}/comparison.parquet",
        f"results/{scale}/report.html",
        f"results/{scale}/claims.hold" if request.strict_claims else [],


rule sensitivity:
    input:
        expand("figures/{scale}/sensitivity.{format}", scale=scale, format=FORMATS),


rule compare:
    input:
        f"results/{scale}/comparison.parquet",


onstart:
    for folder in ("results", "figures"):
        require_writable(Path(folder))


onsuccess:
    print(f"The figures at {scale} scale are in figures/{scale}/")
    if Path(f"results/{scale}/report.html").exists():
        print(f"results/{scale}/report.html shows them with verdicts and settings")
    for page in ("claims.md", "comparison.md", "sensitivity.md"):
        if Path("results", scale, page).exists():
            page_text = Path("results", scale, page).read_text()
            print(f"results/{scale}/{page}: {headline(page_text)}")
    tell_missing()


onerror:
    tell_missing()
