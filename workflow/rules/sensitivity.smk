# Sensitivity: the claims again, with one declared choice after another changed.


rule compare_verdicts:
    input:
        declared="results/{scale}/sensitivity/declared/claims.parquet",
        alternatives=lambda wildcards: expand(
            "results/{scale}/sensitivity/{alternative}/claims.parquet",
            scale=wildcards.scale,
            alternative=study.alternatives,
        ),
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=["claims/files", "claims/table", "pages", "sensitivity"],
        ),
        study="configs/sensitivity.yaml",
    output:
        table="results/{scale}/sensitivity.parquet",
        page="results/{scale}/sensitivity.md",
    log:
        "results/{scale}/logs/sensitivity.log",
    benchmark:
        "results/{scale}/benchmarks/sensitivity.tsv"
    conda:
        "../../environment.yml"
    message:
        "Compare the verdicts at {wildcards.scale} scale with those of the alternatives"
    shell:
        "python -m lowrank_dynamics sensitivity {input.declared} {input.alternatives} "
        "--scale {wildcards.scale} --output {output.table} 2> {log}"


rule draw_sensitivity:
    input:
        table="results/{scale}/sensitivity.parquet",
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "figures/draw",
                "figures/sensitivity",
                "figures/style",
                "provenance",
                "provenance_files",
            ],
        ),
    output:
        multiext("figures/{scale}/sensitivity", ".pdf", ".svg", ".png"),
    log:
        "results/{scale}/logs/figure/sensitivity.log",
    benchmark:
        "results/{scale}/benchmarks/figure/sensitivity.tsv"
    conda:
        "../../environment.yml"
    message:
        "Draw the verdicts of the sensitivity study"
    shell:
        "python -m lowrank_dynamics figure sensitivity --metrics {input.table} "
        "--output figures/{wildcards.scale}/sensitivity 2> {log}"
