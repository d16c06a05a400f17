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
            category=part_of_report,
            labels=lambda wildcards: {"figure": label_in_report(wildcards)},
        ),
    log:
        "results/{run}/logs/figure/{figure}.log",
    benchmark:
        "results/{run}/benchmarks/figure/{figure}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=drawing_code,
        labels=lambda wildcards: labels(),
        options=drawing_options,
        metrics=metrics_options,
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
            category=part_of_report,
            labels=lambda wildcards: {"figure": f"{label_in_report(wildcards)}, animated"},
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
        code=drawing_code,
        labels=lambda wildcards: labels(),
        options=drawing_options,
        metrics=metrics_options,
    message:
        "Animate {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics animation {wildcards.figure} {params.metrics} "
        "--run {wildcards.run} --output {output:q} 2> {log:q}"
