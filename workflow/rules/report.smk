# The report: one page of verdicts, figures, comparison and settings.

captions = Path(os.path.relpath(project / "workflow" / "report"))
templates = project / "workflow" / "lowrank_dynamics" / "report" / "templates"


rule report:
    input:
        drawn=drawn_without_download(main, ["png"]),
        drawn_of_downloads=lambda wildcards: drawn_with_download(main, ["png"]),
        animations=animations(main),
        claims=main.table("claims"),
        comparison=main.table("comparison"),
    output:
        report(
            str(main.report),
            caption="../report/report.rst",
            category=SUMMARY,
            labels={"figure": "All figures and claims"},
        ),
    log:
        f"results/{main.name}/logs/report.log",
    benchmark:
        f"results/{main.name}/benchmarks/report.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("report.page"),
        pages=contents_sha256([*sorted(templates.iterdir()), *sorted(captions.glob("*.rst"))]),
        settings=contents_sha256([main.configs / folder.PAPER, main.configs / folder.BEYOND_FILE]),
        captions=captions,
        overrides=lambda wildcards, input: overrides,
        shown={name: (figure.part, title(name)) for name, figure in FIGURES.items()},
        further=further_figures(),
        further_sha256=contents_sha256([*further_figures(), *further_tables()]),
    message:
        "Write the report"
    shell:
        "python -m lowrank_dynamics report {input.drawn:q} {input.drawn_of_downloads:q} "
        f"{{params.further:q}} --captions {{params.captions:q}} --run {main.name} {{params.overrides}} "
        "--output {output:q} 2> {log:q}"
