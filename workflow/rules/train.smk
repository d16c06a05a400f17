# Training: one job a cell, with all its trials and everything measured on the way.


rule train:
    input:
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "activations",
                "cells",
                "config/models",
                "data/batches",
                "data/clusters",
                "data/dataset",
                "data/fashion_mnist",
                "initialization",
                "metrics",
                "networks",
                "objectives",
                "observables/block_shares",
                "observables/curves",
                "observables/first_gradient",
                "observables/gradient_spectrum",
                "observables/observer",
                "observables/singular_structure",
                "optimizers",
                "progress",
                "provenance",
                "randomness",
                "stacked_optimizer",
                "subspaces",
                "training",
            ],
        ),
        data=lambda wildcards: (
            "results/{scale}/data/{experiment}.safetensors"
            if settings[wildcards.scale].experiment(wildcards.experiment).data.prepared
            else []
        ),
    output:
        "results/{scale}/cells/{experiment}/{cell}.parquet",
    log:
        "results/{scale}/logs/train/{experiment}/{cell}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{experiment}/{cell}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: settings[wildcards.scale].experiment(wildcards.experiment).threads
    params:
        settings=lambda wildcards: settings[wildcards.scale].digest(
            wildcards.experiment,
            settings[wildcards.scale]
            .cell(wildcards.experiment, wildcards.cell)
            .variant,
        ),
        data=lambda wildcards, input: f"--data {input.data}" if input.data else "",
    message:
        "Train {wildcards.experiment} {wildcards.cell}"
    shell:
        "python -m lowrank_dynamics train --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "--cell {wildcards.cell} {params.data} --threads {threads} --output {output} 2> {log}"
