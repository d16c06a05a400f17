# Training: one job for some trials of a cell, or all, with everything measured on the way.
# On a cluster, cells that take a few minutes share a job (profiles/slurm says how many).


rule train:
    input:
        data=stored_data,
        weights=trained_weights,
    output:
        "results/{scale}/cells/{experiment}/{cell}/{trials}.parquet",
    log:
        "results/{scale}/logs/train/{experiment}/{cell}/{trials}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{experiment}/{cell}/{trials}.tsv"
    priority: lambda wildcards: training_resources(wildcards).operations
    group:
        lambda wildcards: "brief_cells" if training_resources(wildcards).is_brief else None
    conda:
        "../../environment.yml"
    threads: lambda wildcards: experiment_of(wildcards).threads
    resources:
        gpu=0 if settings[scale].device == "cpu" else 1,
        mem_mb=lambda wildcards, attempt: attempt * training_resources(wildcards).megabytes,
        runtime=lambda wildcards, attempt: attempt * training_resources(wildcards).minutes,
    params:
        code=training_code,
        registered=lambda wildcards: settings[wildcards.scale].registered(
            wildcards.experiment, cell_of(wildcards)
        ),
        settings=lambda wildcards: settings[wildcards.scale]
        .of_variant(wildcards.experiment, cell_of(wildcards).variant)
        .digest,
        data=stored_option,
        weights=lambda wildcards, input: option("--weights", input.weights),
    message:
        "Train {wildcards.experiment} {wildcards.cell}, trials {wildcards.trials}"
    shell:
        "python -m lowrank_dynamics train --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "--cell {wildcards.cell} {params.data} {params.weights} --threads {threads} "
        "--trials {wildcards.trials} --planned {params.settings} --planned-code {params.code} "
        "--checkpoint results/{wildcards.scale}/checkpoints/{wildcards.experiment}/{wildcards.cell}/{wildcards.trials}.pt "
        "--output {output:q} 2> {log:q}"
