# Data preparation: what comes from outside, the images an experiment uses, and the features of them.


# A checkpoint, because a run goes on without what cannot be had.
checkpoint fetch:
    input:
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "data/cifar10",
                "data/dataset",
                "data/sources",
                "data/tensors",
                "fetching",
                "vgg/stacks",
                "vgg/weights",
            ],
        ),
    output:
        directory("results/fetched/{name}"),
    log:
        "results/fetched/{name}.log",
    conda:
        "../../environment.yml"
    params:
        unverified=lambda wildcards: (
            "--allow-unverified"
            if request.allow_unverified_data and wildcards.name == "cifar10"
            else ""
        ),
    message:
        "Fetch {wildcards.name}"
    shell:
        "python -m lowrank_dynamics fetch {wildcards.name} --output {output} {params.unverified} 2> {log}"


rule prepare:
    input:
        code=lambda wildcards: expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "data/dataset",
                "data/sources",
                "data/tensors",
                module_of(data_of(wildcards).prepared_by),
            ],
        ),
        source=lambda wildcards: expand(
            "results/fetched/{name}", name=data_of(wildcards).fetched_images or []
        ),
    output:
        "results/{scale}/images/{experiment}.safetensors",
    log:
        "results/{scale}/logs/prepare/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/prepare/{experiment}.tsv"
    conda:
        "../../environment.yml"
    params:
        choice=lambda wildcards: data_of(wildcards).choice("images"),
        source=lambda wildcards, input: (
            f"--source {input.source}" if input.source else ""
        ),
    message:
        "Prepare the images of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics prepare --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "{params.source} --output {output} 2> {log}"


rule features:
    input:
        images=lambda wildcards: stored(wildcards, "images"),
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=[
                "data/dataset",
                "data/tensors",
                "progress",
                "vgg/convolutions",
                "vgg/features",
                "vgg/stacks",
            ],
        ),
        weights=lambda wildcards: weights_of(wildcards),
    output:
        "results/{scale}/features/{experiment}.safetensors",
    log:
        "results/{scale}/logs/features/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/features/{experiment}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: settings[wildcards.scale].experiment(wildcards.experiment).threads
    resources:
        gpu=asks_for_gpu,
        mem_mb=lambda wildcards, attempt: attempt * features_demand(wildcards).megabytes,
        runtime=lambda wildcards, attempt: attempt * features_demand(wildcards).minutes,
    params:
        choice=lambda wildcards: data_of(wildcards).choice("features"),
        weights=lambda wildcards, input: (
            f"--weights {input.weights}" if input.weights else ""
        ),
    message:
        "Compute the features of the images of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics features --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "--images {input.images} {params.weights} --threads {threads} --output {output} 2> {log}"
