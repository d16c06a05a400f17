# Aggregation: the metrics of an experiment's jobs as one tidy Parquet file.


rule aggregate:
    input:
        shards=cell_metrics,
    output:
        "results/{run}/metrics/{experiment}.parquet",
    log:
        "results/{run}/logs/aggregate/{experiment}.log",
    benchmark:
        "results/{run}/benchmarks/aggregate/{experiment}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("storage.aggregation"),
        trials=lambda wildcards: experiment_of(wildcards).trials,
    message:
        "Aggregate the metrics of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics aggregate {input.shards:q} --run {wildcards.run} "
        "--trials {params.trials} --output {output:q} 2> {log:q}"
