# Comparison: the metrics of a run against the reference that the repository keeps.

reference = Path(os.path.relpath(project / "results" / "reference"))


rule comparison:
    input:
        metrics=measured_metrics,
    output:
        table="results/{run}/comparison.parquet",
        page="results/{run}/comparison.md",
    log:
        "results/{run}/logs/comparison.log",
    benchmark:
        "results/{run}/benchmarks/comparison.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.comparison", "report.rendering"),
        reference=reference,
        kept=contents_sha256(sorted(reference.rglob("*.parquet"))),
        overrides=lambda wildcards, input: overrides,
    message:
        "Compare the run at {wildcards.run} scale with the reference"
    shell:
        "python -m lowrank_dynamics compare {input.metrics:q} "
        "--run {wildcards.run} {params.overrides} "
        "--reference {params.reference:q} --output {output.table:q} 2> {log:q}"
