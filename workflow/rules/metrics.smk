# Aggregation: the metrics of an experiment's cells as one tidy Parquet file.


rule aggregate:
    input:
        cells=lambda wildcards: expand(
            "results/{scale}/cells/{experiment}/{cell}.parquet",
            scale=wildcards.scale,
            experiment=wildcards.experiment,
            cell=[
                cell.name
                for cell in settings[wildcards.scale].cells(wildcards.experiment)
            ],
        ),
        code="workflow/lowrank_dynamics/metrics.py",
    output:
        "results/{scale}/metrics/{experiment}.parquet",
    log:
        "results/{scale}/logs/aggregate/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/aggregate/{experiment}.tsv"
    conda:
        "../../environment.yml"
    message:
        "Aggregate the metrics of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics aggregate {input.cells} --output {output} 2> {log}"
