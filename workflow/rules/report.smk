# The report: one page of verdicts, figures, comparison and settings.

captions = Path(os.path.relpath(project / "workflow" / "report"))
templates = sorted(
    Path(
        os.path.relpath(project / "workflow" / "lowrank_dynamics" / "report" / "templates")
    ).iterdir()
)


rule report:
    input:
        drawn=figure_files("figures/{scale}/{figure}.png", fetched=False),
        drawn_of_downloads=lambda wildcards: figure_files(
            "figures/{scale}/{figure}.png", fetched=True
        ),
        claims=f"results/{scale}/claims.parquet",
        comparison=f"results/{scale}/comparison.parquet",
    output:
        report(
            f"results/{scale}/report.html",
            caption="../report/report.rst",
            category=SUMMARY,
            labels={"figure": "All figures and claims"},
        ),
    log:
        f"results/{scale}/logs/report.log",
    benchmark:
        f"results/{scale}/benchmarks/report.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_sha256("report.page"),
        pages=contents_sha256([*templates, *sorted(captions.glob("*.rst"))]),
        settings=contents_sha256(files.CONFIGS / name for name in (files.PAPER, files.BEYOND)),
        captions=captions,
        shown={name: (figure.part, title(name)) for name, figure in FIGURES.items()},
        further=further_figures(),
        written=[path.stat().st_mtime_ns for path in (*further_figures(), *further_tables())],
    message:
        "Write the report"
    shell:
        "python -m lowrank_dynamics report {input.drawn:q} {input.drawn_of_downloads:q} {params.further:q} "
        f"--results results/{scale} --captions {{params.captions:q}} --scale {scale} --output {{output:q}} 2> {{log:q}}"
