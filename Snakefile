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

from lowrank_dynamics.config import load_settings, requested_scale
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.figures import FIGURES, FORMATS

try:
    scale = requested_scale(config)
    settings = load_settings(scale, Path(workflow.basedir, "configs"))
except UserError as error:
    raise WorkflowError(str(error))


wildcard_constraints:
    scale=scale,
    experiment="|".join(settings.experiments),
    figure="|".join(FIGURES),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        expand(
            "figures/{scale}/{figure}.{format}",
            scale=scale,
            figure=FIGURES,
            format=FORMATS,
        ),


onsuccess:
    print(f"The figures of the paper at {scale} scale are in figures/{scale}/")
