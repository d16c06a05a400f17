# Comparison: the metrics of a run beside the reference that the repository keeps.


rule beside_reference:
    input:
        metrics=lambda wildcards: expand(
            "results/{scale}/metrics/{experiment}.parquet",
            scale=wildcards.scale,
            experiment=[
                name
                for name in settings[wildcards.scale].experiments
                if at_hand(fetched_by(name, scale=wildcards.scale))
            ],
        ),
        reference=sorted(Path("results/reference").glob("*/*.parquet")),
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=["claims/files", "comparison", "metrics", "pages", "reference"],
        ),
    output:
        table="results/{scale}/comparison.parquet",
        page="results/{scale}/comparison.md",
    log:
        "results/{scale}/logs/comparison.log",
    benchmark:
        "results/{scale}/benchmarks/comparison.tsv"
    conda:
        "../../environment.yml"
    message:
        "Set the run at {wildcards.scale} scale beside the reference"
    shell:
        "python -m lowrank_dynamics compare {input.metrics} --scale {wildcards.scale} --output {output.table} 2> {log}"
