# Figures: each drawn from the aggregated metrics of its experiment, and from nothing else.


rule figure:
    input:
        metrics=lambda wildcards: metrics_of(wildcards),
        code=lambda wildcards: expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "figures/draw",
                "figures/style",
                "provenance",
                "provenance_files",
                *FIGURES[wildcards.figure].modules,
            ],
        ),
    output:
        multiext("figures/{scale}/{figure}", ".pdf", ".svg", ".png"),
    log:
        "results/{scale}/logs/figure/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/figure/{figure}.tsv"
    conda:
        "../../environment.yml"
    params:
        options=lambda wildcards: dict(FIGURES[wildcards.figure].options),
        metrics=lambda wildcards, input: " ".join(
            f"--metrics {path}" for path in input.metrics
        ),
    message:
        "Draw {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics figure {wildcards.figure} {params.metrics} "
        "--output figures/{wildcards.scale}/{wildcards.figure} 2> {log}"
