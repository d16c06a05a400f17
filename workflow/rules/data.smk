# Data preparation: choose, verify and store the images an experiment trains on.


rule prepare:
    input:
        code=expand(
            "workflow/lowrank_dynamics/{module}.py",
            module=["data/dataset", "data/fashion_mnist", "data/sources"],
        ),
    output:
        "results/{scale}/data/{experiment}.safetensors",
    log:
        "results/{scale}/logs/prepare/{experiment}.log",
    benchmark:
        "results/{scale}/benchmarks/prepare/{experiment}.tsv"
    conda:
        "../../environment.yml"
    params:
        data=lambda wildcards: settings[wildcards.scale]
        .experiment(wildcards.experiment)
        .data.model_dump(),
    message:
        "Prepare the images of {wildcards.experiment}"
    shell:
        "python -m lowrank_dynamics prepare --scale {wildcards.scale} --experiment {wildcards.experiment} "
        "--output {output} 2> {log}"
