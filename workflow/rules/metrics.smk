# Aggregation: the metrics of an experiment's cells as one tidy Parquet file.


rule aggregate:
    input:
        cells=cell_metrics,
        code=sources("storage.metrics"),
    output:
        "results/{scale}/metrics/{experiment}.parquet",
    log:
        "results/{scale}/logs/aggregate/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/aggregate/{experiment}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Aggregate the metrics of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics aggregate {input.cells} --scale {wildcards.scale} --output {output} 2> {log}"
