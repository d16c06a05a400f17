# The report: a page for each figure, the claims as a page, and Snakemake's own report of them with the code of the rules.


rule card:
    input:
        picture="figures/{scale}/{figure}.png",
        metrics=lambda wildcards: metrics_of(wildcards),
        claims="results/{scale}/claims.parquet",
        caption="workflow/report/{figure}.rst",
        code=expand(
            "workflow/lowrank_dynamics/{module}",
            module=[
                "claims/files.py",
                "claims/table.py",
                "config/reductions.py",
                "provenance.py",
                "provenance_files.py",
                "report/cards.html.j2",
                "report/cards.py",
                "report/macros.html.j2",
                "report/page.html.j2",
                "report/rendering.py",
            ],
        ),
    output:
        report(
            "results/{scale}/pages/{figure}.html",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].part,
            labels=lambda wildcards: {"figure": sortable(title(wildcards.figure))},
        ),
    log:
        "results/{scale}/logs/card/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/card/{figure}.tsv"
    conda:
        "../../environment.yml"
    params:
        caption=lambda wildcards, input: Path(input.caption).read_text(),
        reductions=lambda wildcards: [
            reductions(settings[wildcards.scale], paper, experiment)
            for experiment in FIGURES[wildcards.figure].experiments
        ],
        metrics=lambda wildcards, input: " ".join(
            f"--metrics {path}" for path in input.metrics
        ),
    message:
        "Write the page of {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics card {wildcards.figure} {params.metrics} --picture {input.picture} "
        "--claims {input.claims} --caption {input.caption} --scale {wildcards.scale} --output {output} 2> {log}"


rule claims_page:
    input:
        claims="results/{scale}/claims.parquet",
        code=expand(
            "workflow/lowrank_dynamics/{module}",
            module=[
                "claims/files.py",
                "claims/table.py",
                "report/claims_page.html.j2",
                "report/claims_page.py",
                "report/macros.html.j2",
                "report/page.html.j2",
                "report/rendering.py",
            ],
        ),
    output:
        report(
            "results/{scale}/pages/claims.html",
            caption="../report/claims.rst",
            category=IN_SHORT,
            labels={"figure": "All claims"},
        ),
    log:
        "results/{scale}/logs/claims_page.log",
    benchmark:
        "results/{scale}/benchmarks/claims_page.tsv"
    conda:
        "../../environment.yml"
    message:
        "Write the page of the claims"
    shell:
        "python -m lowrank_dynamics claims-page {input.claims} --scale {wildcards.scale} --output {output} 2> {log}"


# Snakemake reports on files that are there, so this starts it again, for those alone.
rule report:
    input:
        lambda wildcards: of_figures(
            "results/{scale}/pages/{figure}.html", fetched=False, scale=wildcards.scale
        ),
        lambda wildcards: of_figures(
            "results/{scale}/pages/{figure}.html", fetched=True, scale=wildcards.scale
        ),
        "results/{scale}/pages/claims.html",
    output:
        "results/{scale}/report.html",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        config=f"scale={scale} allow_unverified_data={request.allow_unverified_data}",
    message:
        "Put the report together"
    shell:
        "python -m snakemake --nolock --report {output} --config {params.config} -- {input} 2> {log}"
