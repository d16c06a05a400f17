# Aggregation: the metrics of an experiment's jobs as one tidy Parquet file.


rule aggregate:
    input:
        shards=shard_metrics,
    output:
        "results/{scale}/metrics/{experiment}.parquet",
    log:
        "results/{scale}/logs/aggregate/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/aggregate/{experiment}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("storage.aggregation"),
        trials=lambda wildcards: experiment_of(wildcards).trials,
    message:
        "Aggregate the metrics of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics aggregate {input.shards:q} --scale {wildcards.scale} "
        "--trials {params.trials} --output {output:q} 2> {log:q}"
