# Training: one job for some trials of a cell, or all, with everything measured on the way.
# On a cluster, cells that take a few minutes share a job (profiles/slurm says how many).


rule train:
    input:
        data=stored_data,
        weights=trained_weights,
    output:
        metrics="results/{run}/cells/{experiment}/{cell}/{trials}.parquet",
        weights=(
            ["results/{run}/cells/{experiment}/{cell}/{trials}.safetensors"]
            if request.keep_weights
            else []
        ),
    log:
        "results/{run}/logs/train/{experiment}/{cell}/{trials}.log",
    benchmark:
        "results/{run}/benchmarks/train/{experiment}/{cell}/{trials}.tsv"
    priority: lambda wildcards: training_resources(wildcards).operations
    group:
        lambda wildcards: "brief_cells" if training_resources(wildcards).is_brief else None
    conda:
        "../../environment.yml"
    threads: lambda wildcards: experiment_of(wildcards).threads
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: attempt * training_resources(wildcards).megabytes,
        runtime=lambda wildcards, attempt: attempt * training_resources(wildcards).minutes,
    params:
        code=training_code,
        registered=lambda wildcards: settings[wildcards.run].registered(
            wildcards.experiment, cell_of(wildcards)
        ),
        settings=digest_of,
        checkpoint="results/{run}/checkpoints/{experiment}/{cell}/{trials}.pt",
        data=stored_option,
        weights=lambda wildcards, input: option("--weights", input.weights),
        overrides=lambda wildcards, input: overrides,
    message:
        "Train {wildcards.experiment} {wildcards.cell}, trials {wildcards.trials}"
    shell:
        "python -m lowrank_dynamics train "
        "--run {wildcards.run} {params.overrides} "
        "--experiment {wildcards.experiment} --cell {wildcards.cell} --trials {wildcards.trials} "
        "{params.data} {params.weights} --threads {threads} --checkpoint {params.checkpoint:q} "
        "--planned {params.settings} --planned-code {params.code} "
        "--output {output.metrics:q} {output.weights:q} 2> {log:q}"
