# Claims: a verdict on every statement, of the paper or our own, from the aggregated metrics and
# nothing else.


rule claims:
    input:
        metrics=measured_metrics,
    output:
        table="results/{run}/claims.parquet",
        page="results/{run}/claims.md",
    log:
        "results/{run}/logs/claims.log",
    benchmark:
        "results/{run}/benchmarks/claims.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.table", "report.rendering"),
        overrides=lambda wildcards, input: overrides,
        statements=lambda wildcards: contents_sha256([runs[wildcards.run].statements]),
        labels=lambda wildcards: labels(),
        judged=lambda wildcards: {
            name: experiment.judged
            for name, experiment in settings[wildcards.run].experiments.items()
        },
    message:
        "Give a verdict on the claims at {wildcards.run} scale"
    shell:
        "python -m lowrank_dynamics claims {input.metrics:q} --all "
        "--run {wildcards.run} {params.overrides} "
        "--output {output.table:q} 2> {log:q}"


rule claims_hold:
    input:
        "results/{run}/claims.parquet",
    output:
        touch("results/{run}/claims.hold"),
    log:
        "results/{run}/logs/claims_hold.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Fail if a claim is not reproduced"
    shell:
        "python -m lowrank_dynamics verdicts {input:q} --strict 2> {log:q}"
