# Sensitivity: the claims again, with one declared choice after another changed.


rule sensitivity_table:
    input:
        declared="results/{scale}/sensitivity/declared/claims.parquet",
        alternatives=expand(
            "results/{{scale}}/sensitivity/{alternative}/claims.parquet",
            alternative=study.alternatives,
        ),
    output:
        table="results/{scale}/sensitivity.parquet",
        page="results/{scale}/sensitivity.md",
    log:
        "results/{scale}/logs/sensitivity.log",
    benchmark:
        "results/{scale}/benchmarks/sensitivity.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.sensitivity", "report.sensitivity_markdown"),
        study=contents_sha256([files.CONFIGS / files.STUDY]),
    message:
        "Compare the verdicts at {wildcards.scale} scale with those of the alternatives"
    shell:
        "python -m lowrank_dynamics sensitivity {input.declared:q} {input.alternatives:q} "
        "--scale {wildcards.scale} --output {output.table:q} 2> {log:q}"
