# Rebuilds the figures of the paper at a scale: smoke, laptop (the default), converged, paper, or one
# of yours in configs/.
#
#     snakemake --cores all --config scale=smoke
import os
import re
import sys
import time
from pathlib import Path
from shlex import quote

from snakemake.utils import min_version

min_version("9.19")
started = time.monotonic()

# The rules' commands import the package of this checkout, whether or not it is installed, and no
# module that happens to lie where the run is. Results and figures are written there: here, or in
# the folder of `--directory`.
project = Path(str(workflow.current_basedir))
sys.path.insert(0, str(project / "workflow"))
inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ.update(
    PYTHONPATH=os.pathsep.join([str(project / "workflow"), *inherited]),
    PYTHONSAFEPATH="1",
    LOWRANK_RUN=str(os.getpid()),  # a job ends when this run does, even if it is killed
)

from lowrank_dynamics import snakemake_internals as internals
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.cli.interruption import can_follow
from lowrank_dynamics.config import folder
from lowrank_dynamics.config.cell import shard_name, shard_of
from lowrank_dynamics.config.cost import features_demand, impossible, training_demand
from lowrank_dynamics.config.figures import (
    ANIMATED,
    ANIMATION,
    FIGURES,
    FORMATS,
    SUMMARY,
    figures_of,
    in_words,
    require_captions,
    require_sources,
    sortable,
    title,
)
from lowrank_dynamics.config.parts import Part
from lowrank_dynamics.config.registries import CONVOLUTIONS, IMAGES, labels
from lowrank_dynamics.config.request import requested, require_once
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.data import external
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.report.outcome import missing, note_missing, outcome
from lowrank_dynamics.source_code import code_sha256, contents_sha256
from lowrank_dynamics.storage import occupancy, places
from lowrank_dynamics.storage.repository import unreadable_repository
from lowrank_dynamics.training import gpus

# The commands run the Python that Snakemake runs in, unless conda makes one for them.
if not internals.has_conda(workflow):
    shell.prefix('python() {{ exec %s "$@"; }}; ' % quote(sys.executable))

try:
    places.require_place(Path(), "results", "figures")
    places.require_plain(project, Path.cwd())
    require_captions(project / "workflow" / "report")
    require_once(sys.argv)
    request = requested(config)
    main = Run(Path(), request.scale, overrides=request.set)
    runs = {run.name: run for run in (main, main.beyond, *main.alternatives)}
    settings = {name: request.limited(run.settings) for name, run in runs.items()}
    require_sources([*main.settings.experiments, *main.beyond.settings.experiments])
    for run in (main, main.beyond):
        load_claims(run.statements).check(run.settings, run.statements)
except (UserError, OSError) as error:
    sys.exit(f"error: {error}")

if internals.plans_the_run(workflow):
    note = occupancy.clear(Path(".snakemake"))
    if note:
        print(f"note: {note}", file=sys.stderr)
    # What an earlier run could not download is tried again, also if that was killed.
    if not (internals.is_dry_run(workflow) or occupancy.is_occupied(Path(".snakemake"))):
        external.forget_missing(Path("results/data/fetched"))

# On one machine no more jobs take a GPU at a time than it has; a cluster's scheduler sees to that.
if not internals.counts_jobs(workflow):
    here = gpus.count()
    if here:
        internals.limit(workflow, "gpu", here)

# A cluster's profile limits the time of a job. What cannot be done within it, or on the GPU, is
# named beforehand.
longest = internals.limit_of(workflow, "runtime")
if internals.plans_the_run(workflow) and longest is not None:
    for problem in impossible(settings[main.name], longest):
        print(f"warning: {problem}", file=sys.stderr)


wildcard_constraints:
    name="|".join(external.NAMES),
    images="|".join(IMAGES),
    run="|".join(map(re.escape, runs)),
    experiment="|".join((*main.settings.experiments, *main.beyond.settings.experiments)),
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
        drawn_without_download(main),
        lambda wildcards: drawn_with_download(main),
        animations(main),
        main.table("claims"),
        main.table("comparison"),
        main.report,
        main.claims_hold if request.strict_claims else [],
    localrule: True
    message:
        "All figures, verdicts and the report are there"


rule beyond:
    input:
        drawn_without_download(main.beyond),
        main.beyond.table("claims"),
        main.beyond.table("comparison"),
    localrule: True
    message:
        "All figures and findings beyond the paper are there"


rule sensitivity:
    input:
        [main.figure("sensitivity", extension) for extension in FORMATS],
    localrule: True
    message:
        "The sensitivity study is there"


rule compare:
    input:
        main.table("comparison"),
    localrule: True
    message:
        "The comparison with the reference is there"


onstart:
    try:
        for written in (Path("results"), Path("figures"), main.results, main.figures):
            places.require_writable(written)
        places.require_past(Path("results"), "data", main.name)
        places.require_past(Path("figures"), main.name)
        if internals.keeps_notes_in_files(workflow):
            places.require_modes(Path(".snakemake"))
        jobs_end_with_it = internals.runs_here(workflow) and can_follow()
        occupancy.occupy(Path(".snakemake"), main.name, local=jobs_end_with_it)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    reason = unreadable_repository()
    if reason:
        print(f"warning: results will not name their commit, because {reason}", file=sys.stderr)
    internals.start_jobs_at_once(workflow)


onsuccess:
    note_missing(main, unavailable())
    # `make` says so itself, also where nothing was left to do.
    if "MAKELEVEL" not in os.environ:
        print("", *outcome(main, time.monotonic() - started), sep="\n")


onerror:
    note_missing(main, unavailable())
    print(*missing(main), sep="\n")
