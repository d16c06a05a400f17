# The report: a page for each figure, the claims as a page, and Snakemake's own report of them with the code of the rules.

captions = Path(os.path.relpath(project / "workflow" / "report"))
templates = sorted(Path(os.path.relpath(project / "workflow" / "lowrank_dynamics" / "report")).glob("*.j2"))


rule figure_page:
    input:
        picture="figures/{scale}/{figure}.png",
        metrics=figure_metrics,
        claims="results/{scale}/claims.parquet",
        caption=lambda wildcards: captions / f"{wildcards.figure}.rst",
        code=sources("report.figure_page"),
        templates=templates,
    output:
        report(
            "results/{scale}/pages/{figure}.html",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].part,
            labels=lambda wildcards: {"figure": sortable(title(wildcards.figure))},
        ),
    log:
        "results/{scale}/logs/figure_page/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/figure_page/{figure}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        caption=lambda wildcards, input: Path(input.caption).read_text(encoding="utf-8"),
        reductions=lambda wildcards: [
            differences(settings[wildcards.scale].experiment(name), paper.experiment(name))
            for name in FIGURES[wildcards.figure].experiments
        ],
        metrics=lambda wildcards, input: " ".join(f"--metrics {path}" for path in input.metrics),
    message:
        "Write the page of {wildcards.figure}"
    shell:
        "python -m lowrank_dynamics figure-page {wildcards.figure} {params.metrics} --picture {input.picture} "
        "--claims {input.claims} --caption {input.caption} --scale {wildcards.scale} --output {output} 2> {log}"


rule claims_page:
    input:
        claims="results/{scale}/claims.parquet",
        code=sources("report.claims_page"),
        templates=templates,
    output:
        report(
            "results/{scale}/pages/claims.html",
            caption="../report/claims.rst",
            category=SUMMARY,
            labels={"figure": "All claims"},
        ),
    log:
        "results/{scale}/logs/claims_page.log",
    benchmark:
        "results/{scale}/benchmarks/claims_page.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Write the page of the claims"
    shell:
        "python -m lowrank_dynamics claims-page --claims {input.claims} --scale {wildcards.scale} "
        "--output {output} 2> {log}"


# Snakemake reports on files that are there, so this starts it again, for those alone.
rule report:
    input:
        figure_files("results/{scale}/pages/{figure}.html", fetched=False),
        lambda wildcards: figure_files("results/{scale}/pages/{figure}.html", fetched=True),
        pages="results/{scale}/pages/claims.html",
    output:
        "results/{scale}/report.html",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        snakefile=os.path.relpath(project / "Snakefile"),
        config=" ".join(
            f"{key}={value}"
            for key, value in request._asdict().items()
            if key != "strict_claims" and value is not None
        ),
    message:
        "Put the report together"
    shell:
        "python -m snakemake --snakefile {params.snakefile} --nolock --report {output} "
        "--config {params.config} -- {input} 2> {log}"
