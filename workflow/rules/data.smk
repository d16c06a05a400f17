# Data preparation: downloads, the images that an experiment uses, and their features. Files are named by their content.


# A checkpoint, because a run continues without what is unavailable.
checkpoint fetch:
    output:
        directory("results/data/fetched/{name}"),
    log:
        "results/data/logs/fetch/{name}.log",
    priority: FIRST
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("data.external"),
        unverified=lambda wildcards: (
            "--allow-unverified"
            if request.allow_unverified_data and wildcards.name == "cifar10"
            else ""
        ),
    message:
        "Fetch {wildcards.name}"
    shell:
        "python -m lowrank_dynamics fetch {wildcards.name} --output {output:q} {params.unverified} 2> {log:q}"


rule prepare:
    input:
        source=lambda wildcards: fetched(wildcards.images),
    output:
        r"results/data/images/{images}-{training,\d+}-{test,\d+}.safetensors",
    log:
        "results/data/logs/images/{images}-{training}-{test}.log",
    benchmark:
        "results/data/benchmarks/images/{images}-{training}-{test}.tsv"
    priority: FIRST
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=lambda wildcards: code_sha256(f"data.{wildcards.images}"),
        entry=lambda wildcards: str(IMAGES[wildcards.images]),
        source=lambda wildcards, input: option("--source", input.source),
    message:
        "Prepare {wildcards.training} and {wildcards.test} images of {wildcards.images}"
    shell:
        "python -m lowrank_dynamics prepare {wildcards.images} --training-images {wildcards.training} "
        "--test-images {wildcards.test} {params.source} --output {output:q} 2> {log:q}"


rule features:
    input:
        images="results/data/images/{images}-{training}-{test}.safetensors",
        weights=lambda wildcards: fetched(wildcards.convolutions),
    output:
        r"results/data/features/{images}-{training,\d+}-{test,\d+}-{convolutions}-{size,\d+}-{pool,\d+}/{part}.safetensors",
    log:
        "results/data/logs/features/{images}-{training}-{test}-{convolutions}-{size}-{pool}/{part}.log",
    benchmark:
        "results/data/benchmarks/features/{images}-{training}-{test}-{convolutions}-{size}-{pool}/{part}.tsv"
    priority: FIRST
    group:
        lambda wildcards: "brief_features" if features_resources(wildcards).is_brief else None
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: attempt * features_resources(wildcards).megabytes,
        runtime=lambda wildcards, attempt: attempt * features_resources(wildcards).minutes,
    params:
        code=code_sha256("data.convolved"),
        entry=lambda wildcards: str(CONVOLUTIONS[wildcards.convolutions]),
        device=lambda wildcards, input: main.settings.device,
        weights=lambda wildcards, input: option("--weights", input.weights),
    message:
        "Compute the features of {wildcards.images} by {wildcards.convolutions}, {wildcards.part}"
    shell:
        "python -m lowrank_dynamics features --images {input.images:q} --part {wildcards.part} "
        "--convolutions {wildcards.convolutions} --size {wildcards.size} --pool {wildcards.pool} {params.weights} "
        "--device {params.device} --threads {threads} --output {output:q} 2> {log:q}"
