# Rebuilds the figures of the paper at one scale: `snakemake --cores all [--config scale=smoke|laptop|paper]`.
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

# The rules' commands import the package of this checkout, whether or not it is installed.
sys.path.insert(0, f"{workflow.basedir}/workflow")
os.environ.update(PYTHONPATH=f"{workflow.basedir}/workflow")

from lowrank_dynamics.claims.statements import load_claims
from lowrank_dynamics.config import load_settings, load_study, requested
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, FORMATS

configs = Path(workflow.basedir, "configs")
try:
    scale, strict_claims = requested(config)
    experiments = load_settings(scale, configs).experiments
    claims = load_claims(configs / "claims.yaml")
    study = load_study(configs)
except UserError as error:
    raise WorkflowError(str(error))


@cache
def settings(scale):
    """Return the settings of a scale, or of an alternative in its sensitivity study."""
    return load_settings(scale, configs)


wildcard_constraints:
    scale=f"{scale}(/sensitivity/[a-z0-9_.]+)?",
    experiment="|".join(experiments),
    figure="|".join(FIGURES),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/sensitivity.smk"


rule all:
    default_target: True
    input:
        expand(
            "figures/{scale}/{figure}.{format}",
            scale=scale,
            figure=FIGURES,
            format=FORMATS,
        ),
        f"results/{scale}/claims.parquet",
        f"results/{scale}/claims.hold" if strict_claims else [],


rule sensitivity:
    input:
        expand("figures/{scale}/sensitivity.{format}", scale=scale, format=FORMATS),


onsuccess:
    print(f"The figures of the paper at {scale} scale are in figures/{scale}/")
    if Path(f"results/{scale}/claims.parquet").exists():
        print(f"The verdicts are in results/{scale}/claims.md", flush=True)
        shell("python -m lowrank_dynamics verdicts results/{scale}/claims.parquet")
