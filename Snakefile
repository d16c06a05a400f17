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
from lowrank_dynamics.config import (
    load_settings,
    load_study,
    measured_scale,
    requested,
)
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, FORMATS

configs = Path(workflow.basedir, "configs")
try:
    scale, strict_claims = requested(config)
    requested_settings = load_settings(scale, configs)
    claims = load_claims(configs / "claims.yaml")
    claims.check(requested_settings)
    study = load_study(configs)
    study.check(requested_settings.experiments)
except UserError as error:
    raise WorkflowError(str(error))


# The settings of a scale, or of an alternative in its sensitivity study.
settings = cache(lambda name: load_settings(name, configs))


wildcard_constraints:
    scale=f"{scale}(/sensitivity/[a-z0-9_.]+)?",
    experiment="|".join(requested_settings.experiments),
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
    print(f"The figures at {scale} scale are in figures/{scale}/")
    for page in ("claims.md", "sensitivity.md"):
        if Path("results", scale, page).exists():
            heading, _, summary = (
                Path("results", scale, page).read_text().split("\n")[:3]
            )
            print(f"results/{scale}/{page}: {summary}")
