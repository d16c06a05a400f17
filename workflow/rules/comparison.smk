# Comparison: the metrics of a run against the reference that the repository keeps.

reference = Path(os.path.relpath(project / "results" / "reference"))


rule comparison:
    input:
        metrics=measured_metrics,
    output:
        table="results/{scale}/comparison.parquet",
        page="results/{scale}/comparison.md",
    log:
        "results/{scale}/logs/comparison.log",
    benchmark:
        "results/{scale}/benchmarks/comparison.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("analysis.comparison", "report.comparison_markdown"),
        reference=reference,
        kept=contents_sha256(sorted(reference.rglob("*.parquet"))),
    message:
        "Compare the run at {wildcards.scale} scale with the reference"
    shell:
        "python -m lowrank_dynamics compare {input.metrics:q} --scale {wildcards.scale} "
        "--reference {params.reference:q} --output {output.table:q} 2> {log:q}"
