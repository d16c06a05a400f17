# Figures and animations: each drawn from the aggregated metrics of its experiments, or from a table of the run, and nothing
# else.


rule figure:
    input:
        metrics=figure_source,
    output:
        multiext("figures/{run}/{figure}", ".pdf", ".svg"),
        report(
            "figures/{run}/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].part,
            labels=lambda wildcards: {"figure": sortable(title(wildcards.figure))},
        ),
    log:
        "results/{run}/logs/figure/{figure}.log",
    benchmark:
        "results/{run}/benchmarks/figure/{figure}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=lambda wildcards: code_sha256(
            "figures.draw", f"figures.{FIGURES[wildcards.figure].module}"
        ),
        labels=lambda wildcards: labels(),
        options=lambda wildcards: dict(FIGURES[wildcards.figure].options),
        metrics=lambda wildcards, input: " ".join(
            option("--metrics", path) for path in input.metrics
        ),
    message:
        "Draw {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics figure {wildcards.figure} {params.metrics} "
        "--run {wildcards.run} --output figures/{wildcards.run}/{wildcards.figure} 2> {log:q}"


rule animation:
    input:
        metrics=figure_source,
    output:
        report(
            "figures/{run}/{figure}.gif",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].part,
            labels=lambda wildcards: {"figure": f"{sortable(title(wildcards.figure))}, animated"},
        ),
    log:
        "results/{run}/logs/animation/{figure}.log",
    benchmark:
        "results/{run}/benchmarks/animation/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(ANIMATED),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=lambda wildcards: code_sha256(
            "figures.draw", f"figures.{FIGURES[wildcards.figure].module}"
        ),
        labels=lambda wildcards: labels(),
        options=lambda wildcards: dict(FIGURES[wildcards.figure].options),
        metrics=lambda wildcards, input: " ".join(
            option("--metrics", path) for path in input.metrics
        ),
    message:
        "Animate {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics animation {wildcards.figure} {params.metrics} "
        "--run {wildcards.run} --output {output:q} 2> {log:q}"
