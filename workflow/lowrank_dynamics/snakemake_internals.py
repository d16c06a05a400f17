"""What the Snakefile needs of Snakemake beyond its documented interface, one function each.

Every function takes the `workflow` that a Snakefile has. tests/workflow/test_internals.py notices
when a new version of Snakemake breaks one.
"""

from typing import Any


def plans_the_run(workflow: Any) -> bool:
    """Return whether this process plans jobs, and is not a job that reads the Snakefile again."""
    return workflow.is_main_process


def is_dry_run(workflow: Any) -> bool:
    """Return whether jobs are only listed, and none is run."""
    return workflow.output_settings.dryrun


def runs_here(workflow: Any) -> bool:
    """Return whether jobs run on this machine, and are not submitted to a cluster; known once the
    run starts.
    """
    return workflow.local_exec


def counts_jobs(workflow: Any) -> bool:
    """Return whether jobs are limited by their number, as those submitted to a cluster are, and not
    by cores; known when the Snakefile is read, before Snakemake knows what runs them.
    """
    return workflow.resource_settings.nodes is not None


def has_conda(workflow: Any) -> bool:
    """Return whether conda makes the environments in which jobs run."""
    from snakemake.settings.types import DeploymentMethod

    return DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method


def limit(workflow: Any, resource: str, amount: int) -> None:
    """Let all jobs together use this amount of a resource, unless the command line limits it."""
    if resource not in workflow.global_resources:
        workflow.register_resource(resource, amount)


def limit_of(workflow: Any, resource: str) -> float | None:
    """Return the limit on a resource that the command line or a profile sets; None if none."""
    limits = workflow.global_resources
    return limits[resource].value if resource in limits else None


def start_jobs_at_once(workflow: Any) -> None:
    """Remove the limit on the jobs that start in a second.

    With it Snakemake looks at all ready jobs again every second, and once more for each job that
    has ended: in a run of ten minutes that takes a tenth of all CPU time.
    """
    workflow.scheduler.job_rate_limiter = None


def keeps_notes_in_files(workflow: Any) -> bool:
    """Return whether Snakemake's own notes are files, whose modes it sets."""
    from snakemake.persistence.file import FilePersistence

    return isinstance(workflow.persistence, FilePersistence)
