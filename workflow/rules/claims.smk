# Claims: a verdict on every statement of the paper, from the aggregated metrics and nothing else.


rule claims:
    input:
        metrics=measured_metrics,
    output:
        table="results/{scale}/claims.parquet",
        page="results/{scale}/claims.md",
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.table", "report.claims_markdown"),
        statements=lambda wildcards: contents_sha256([files.statements_of(wildcards.scale)]),
        labels=lambda wildcards: labels(),
        judged=lambda wildcards: {
            name: experiment.judged
            for name, experiment in settings[wildcards.scale].experiments.items()
        },
    message:
        "Give a verdict on the claims at {wildcards.scale} scale"
    shell:
        "python -m lowrank_dynamics claims {input.metrics:q} --all --scale {wildcards.scale} "
        "--output {output.table:q} 2> {log:q}"


rule claims_hold:
    input:
        "results/{scale}/claims.parquet",
    output:
        touch("results/{scale}/claims.hold"),
    log:
        "results/{scale}/logs/claims_hold.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Fail if a claim is not reproduced"
    shell:
        "python -m lowrank_dynamics verdicts {input:q} --strict 2> {log:q}"
