# Training: one job a cell, with all its trials and everything measured on the way.
# On a cluster, cells that take a few minutes share a job (profiles/slurm says how many).


rule train:
    input:
        code=lambda wildcards: expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "cells",
                "checkpoints",
                "config/data/kinds",
                "config/frozen",
                "config/models",
                "data/batches",
                "data/dataset",
                "data/drawn",
                "data/tensors",
                "devices",
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
                "progress",
                "provenance",
                "randomness",
                "stacked_optimizer",
                "subspaces",
                "training",
                "vgg/convolutions",
                "vgg/fine_tuning",
                "vgg/stacks",
                *data_of(wildcards).code,
            ],
        ),
        data=lambda wildcards: stored(wildcards, data_of(wildcards).stored),
        weights=lambda wildcards: (
            weights_of(wildcards) if data_of(wildcards).stored == "images" else []
        ),
    output:
        "results/{scale}/cells/{experiment}/{cell}.parquet",
    log:
        "results/{scale}/logs/train/{experiment}/{cell}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{experiment}/{cell}.tsv"
    group:
        lambda wildcards: "brief_cells" if training_demand(wildcards).is_brief else None
    conda:
        "../../environment.yml"
    threads: lambda wildcards: settings[wildcards.scale].experiment(wildcards.experiment).threads
    resources:
        gpu=asks_for_gpu,
        mem_mb=lambda wildcards, attempt: attempt * training_demand(wildcards).megabytes,
        runtime=lambda wildcards, attempt: attempt * training_demand(wildcards).minutes,
    params:
        registered=lambda wildcards: registered(wildcards),
        settings=lambda wildcards: settings[wildcards.scale].digest(
            wildcards.experiment,
            settings[wildcards.scale]
            .cell(wildcards.experiment, wildcards.cell)
            .variant,
        ),
        data=lambda wildcards, input: f"--data {input.data}" if input.data else "",
        weights=lambda wildcards, input: (
            f"--weights {input.weights}" if input.weights else ""
        ),
    message:
        "Train {wildcards.experiment} {wildcards.cell}"
    shell:
        "python -m lowrank_dynamics train --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "--cell {wildcards.cell} {params.data} {params.weights} --threads {threads} "
        "--checkpoint results/{wildcards.scale}/checkpoints/{wildcards.experiment}/{wildcards.cell}.pt "
        "--output {output} 2> {log}"
