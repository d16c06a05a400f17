# What rules ask of the settings: files, the resources of a job on a cluster. No rule is here.

# The priority of what others wait for; a training's is its operations, so the longest start first.
FIRST = 1e30
# How many GPUs a job takes that can use one.
GPUS = 0 if main.settings.device == "cpu" else 1


def option(name, value):
    """An option of a command with its value; nothing without one."""
    return f"{name} {quote(str(value))}" if value else ""


# The options that change settings as `--config set` does. Rules take them as a parameter that
# depends on the input, which Snakemake does not record: what they change is in others.
overrides = " ".join(option("--set", assignment) for assignment in request.set)


def experiment_of(wildcards):
    """The settings of an experiment."""
    return settings[wildcards.run].experiment(wildcards.experiment)


def cell_of(wildcards):
    """The cell that a job trains."""
    return settings[wildcards.run].cell(wildcards.experiment, wildcards.cell)


def digest_of(wildcards):
    """The digest of the settings that the numbers of a cell depend on."""
    variant = cell_of(wildcards).variant
    return settings[wildcards.run].of_variant(wildcards.experiment, variant).digest


def stored_data(wildcards):
    """The files of the images or features that an experiment reads."""
    data = experiment_of(wildcards).data
    if not data.stored:
        return []
    parts = [f"results/data/{data.stored}/{part.file}" for part in data.parts]
    return parts or f"results/data/{data.stored}"


def stored_option(wildcards):
    """The option that names them to a training: the file of images, or the folder of features."""
    stored = experiment_of(wildcards).data.stored
    return option("--data", stored and f"results/data/{stored}")


def downloads(run, *experiments):
    """The folders of what some experiments need from outside."""
    names = set()
    for experiment in experiments:
        names.update(run.settings.experiment(experiment).data.fetched)
    return [Path("results/data/fetched", name) for name in sorted(names)]


def available(folders):
    """Whether the downloads in some folders were successful, once that has been tried."""
    for folder in folders:
        checkpoints.fetch.get(name=folder.name)
    return not any(map(external.missing, folders))


def fetched(name):
    """The folder of the images or the weights of some convolutions, if they are downloaded."""
    return f"results/data/fetched/{name}" if name in external.NAMES else []


def trained_weights(wildcards):
    """The folder of the weights from which a cell trains its convolutions, if it does."""
    variant = cell_of(wildcards).variant
    data = settings[wildcards.run].of_variant(wildcards.experiment, variant).data
    return fetched(data.convolutions) if getattr(data, "fine_tuned", False) else []


def features_resources(wildcards):
    """The time and memory that computing a part of some features requests."""
    stored = "features/{images}-{training}-{test}-{convolutions}-{size}-{pool}"
    part = Part.named(wildcards.part)
    for limited in settings.values():
        for name, experiment in limited.experiments.items():
            if experiment.data.stored == stored.format(**wildcards):
                return features_demand(limited, name, part)
    raise UserError(
        f"no experiment of this scale reads {stored.format(**wildcards)}; name the features of one"
    )


def training_resources(wildcards):
    """The time and memory that training some trials of a cell requests."""
    shard = shard_of(wildcards.trials)
    return training_demand(settings[wildcards.run], wildcards.experiment, cell_of(wildcards), shard)


def training_code(wildcards):
    """The digest of the modules that the numbers of a cell depend on."""
    modules = settings[wildcards.run].modules(wildcards.experiment, cell_of(wildcards))
    return code_sha256("training.jobs", *modules)


def cell_metrics(wildcards):
    """The metrics of every job of an experiment."""
    run, name = runs[wildcards.run], wildcards.experiment
    files = []
    for cell in settings[run.name].cells(name):
        for shard in experiment_of(wildcards).shards:
            files.append(run.cell_metrics(name, cell.name, shard_name(shard)))
    return files


def figure_source(wildcards):
    """The metrics that a figure is drawn from, or the table."""
    run, figure = runs[wildcards.run], FIGURES[wildcards.figure]
    if figure.table:
        return [run.table(figure.table)]
    return [run.metrics(name) for name in figure.experiments]


def metrics_options(wildcards, input):
    """The options that name what a figure is drawn from."""
    return " ".join(option("--metrics", path) for path in input.metrics)


def drawing_code(wildcards):
    """The digest of the modules that draw a figure."""
    return code_sha256("figures.draw", f"figures.{FIGURES[wildcards.figure].module}")


def drawing_options(wildcards):
    """The options with which they draw it, and what it calls its experiments."""
    figure = FIGURES[wildcards.figure]
    return dict(figure.options), [in_words(name) for name in figure.experiments]


def part_of_report(wildcards):
    """The part of Snakemake's report that a figure is in."""
    return FIGURES[wildcards.figure].part


def label_in_report(wildcards):
    """The name of a figure in Snakemake's report, which sorts figures by it."""
    return sortable(title(wildcards.figure))


def measured_metrics(wildcards):
    """The metrics of every experiment of a run whose data are available."""
    run = runs[wildcards.run]
    names = [name for name in run.settings.experiments if available(downloads(run, name))]
    return [run.measured.metrics(name) for name in names]


def alternative_verdicts(wildcards):
    """The verdicts of every alternative of the sensitivity study."""
    run = runs[wildcards.run]
    run.sensitivity_study.require_scale(run.scale)
    declared, *alternatives = run.alternatives
    return [run.table("claims") for run in alternatives]


def drawn_without_download(run, formats=FORMATS):
    """The files of the figures that need no download.

    They are apart, so that they do not wait until it is known what is available.
    """
    names = figures_of(run.settings.experiments)
    drawn = [name for name in names if not downloads(run, *FIGURES[name].experiments)]
    return [run.figure(name, extension) for name in drawn for extension in formats]


def drawn_with_download(run, formats=FORMATS):
    """The files of the figures that need a download, as far as it is available."""
    files = []
    for name in figures_of(run.settings.experiments):
        folders = downloads(run, *FIGURES[name].experiments)
        if folders and available(folders):
            files += [run.figure(name, extension) for extension in formats]
    return files


def animations(run):
    """The files of the animations of a run; none of them needs a download."""
    names = figures_of(run.settings.experiments)
    return [run.figure(name, ANIMATION) for name in names if name in ANIMATED]


def further_figures():
    """The figures that the target `all` leaves out and that are there: the report shows them too."""
    tables = [name for name, figure in FIGURES.items() if figure.table]
    files = [main.figure(name, "png") for name in tables]
    files += [
        main.beyond.figure(name, "png") for name in figures_of(main.beyond.settings.experiments)
    ]
    return [file for file in files if file.exists()]


def further_tables():
    """The verdicts of the studies that were run, which the report shows too."""
    files = [main.table("sensitivity"), main.beyond.table("claims")]
    return [file for file in files if file.exists()]


def unavailable():
    """The figures that could not be drawn, by the reason, None if not all that they need was tried;
    the next run tries again.
    """
    figures, tried = {}, []
    for name in figures_of(main.settings.experiments):
        for folder in downloads(main, *FIGURES[name].experiments):
            tried.append(folder.exists())
            reason = external.missing(folder)
            if reason:
                figures.setdefault(reason, []).append(name)
    external.forget_missing(Path("results/data/fetched"))
    return figures if all(tried) else None
