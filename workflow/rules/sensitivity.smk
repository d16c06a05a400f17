# Sensitivity: the claims again, with one declared choice after another changed.


rule sensitivity_table:
    input:
        declared="results/{run}/sensitivity/declared/claims.parquet",
        alternatives=alternative_verdicts,
    output:
        table="results/{run}/sensitivity.parquet",
        page="results/{run}/sensitivity.md",
    log:
        "results/{run}/logs/sensitivity.log",
    benchmark:
        "results/{run}/benchmarks/sensitivity.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.sensitivity", "report.rendering"),
        overrides=lambda wildcards, input: overrides,
        study=contents_sha256([main.configs / folder.SENSITIVITY_FILE]),
    message:
        "Compare the verdicts at {wildcards.run} scale with those of the alternatives"
    shell:
        "python -m lowrank_dynamics sensitivity {input.declared:q} {input.alternatives:q} "
        "--run {wildcards.run} {params.overrides} "
        "--output {output.table:q} 2> {log:q}"
