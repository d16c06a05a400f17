# What rules ask for by the settings: files, the resources of a job on a cluster. No rule is here.

FIRST = 1e30  # the priority of what others wait for; that of a training is its operations, so the longest start first


def experiment_of(wildcards):
    """The settings of an experiment."""
    return settings[wildcards.scale].experiment(wildcards.experiment)


def cell_of(wildcards):
    """The cell that a job trains."""
    return settings[wildcards.scale].cell(wildcards.experiment, wildcards.cell)


def stored_data(wildcards):
    """The files of the images or features that an experiment reads."""
    data = experiment_of(wildcards).data
    if not data.stored:
        return []
    return [
        f"results/data/{data.stored}/{part.file}" for part in data.parts
    ] or f"results/data/{data.stored}"


def stored_option(wildcards):
    """The option that names them to a training: the file of images, or the folder of features."""
    stored = experiment_of(wildcards).data.stored
    return option("--data", stored and f"results/data/{stored}")


def option(name, value):
    """An option of a command with its value; nothing without one."""
    return f"{name} {quote(str(value))}" if value else ""


def downloads(*experiments, scale=scale):
    """The folders of what some experiments need from outside."""
    data = [settings[scale].experiment(name).data for name in experiments]
    names = {name for each in data for name in each.fetched}
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
    """The same for the convolutions that an experiment trains."""
    data = experiment_of(wildcards).data
    return fetched(data.convolutions) if getattr(data, "fine_tuned", False) else []


def features_resources(wildcards):
    """The time and memory that computing a part of some features requests, for an experiment that reads them."""
    stored = "features/{images}-{training}-{test}-{convolutions}-{size}-{pool}".format(**wildcards)
    return next(
        features_demand(chosen, name, part_of(wildcards.part))
        for chosen in settings.values()
        for name, experiment in chosen.experiments.items()
        if experiment.data.stored == stored
    )


def training_resources(wildcards):
    """The time and memory that training some trials of a cell requests."""
    shard = shard_of(wildcards.trials)
    return training_demand(
        settings[wildcards.scale], wildcards.experiment, cell_of(wildcards), shard
    )


def training_code(wildcards):
    """The digest of the modules that the numbers of a cell depend on."""
    chosen = settings[wildcards.scale]
    return code_sha256("training.run", *chosen.modules(wildcards.experiment, cell_of(wildcards)))


def shard_metrics(wildcards):
    """The metrics of every job of an experiment."""
    return expand(
        "results/{scale}/cells/{experiment}/{cell}/{trials}.parquet",
        scale=wildcards.scale,
        experiment=wildcards.experiment,
        cell=[cell.name for cell in settings[wildcards.scale].cells(wildcards.experiment)],
        trials=[shard_name(trials) for trials in experiment_of(wildcards).shards],
    )


def figure_metrics(wildcards):
    """The metrics that a figure is drawn from, or the table."""
    figure = FIGURES[wildcards.figure]
    shown = (
        [figure.table]
        if figure.table
        else [f"metrics/{name}.parquet" for name in figure.experiments]
    )
    return [f"results/{wildcards.scale}/{name}" for name in shown]


def measured_metrics(wildcards):
    """The metrics of every experiment of a scale whose data are available."""
    experiments = settings[wildcards.scale].experiments
    measured = [name for name in experiments if available(downloads(name, scale=wildcards.scale))]
    return [
        f"results/{files.measured_scale(wildcards.scale)}/metrics/{name}.parquet"
        for name in measured
    ]


def figure_files(path, *, fetched, scale=scale):
    """The files at `path` of the figures that need a download, as far as it is available, or of the others.

    The two are separate, so that the latter do not wait until the former are known.
    """
    wanted = []
    for name in figures_of(settings[scale].experiments):
        folders = downloads(*FIGURES[name].experiments, scale=scale)
        if bool(folders) == fetched and available(folders):
            wanted.append(name)
    return expand(path, scale=scale, figure=wanted, format=FORMATS)


def further_figures():
    """The figures that the target `all` leaves out and that are there: the report shows them too."""
    tables = [name for name, figure in FIGURES.items() if figure.table and name != "verdicts"]
    studies = [f"beyond/{name}" for name in figures_of(settings[f"{scale}/beyond"].experiments)]
    places = [Path("figures", scale, f"{name}.png") for name in (*tables, *studies)]
    return [path for path in places if path.exists()]


def further_tables():
    """The verdicts of the studies that were run, which the report shows too."""
    places = [
        Path("results", scale, name) for name in ("sensitivity.parquet", "beyond/claims.parquet")
    ]
    return [path for path in places if path.exists()]


def unavailable():
    """The figures that could not be drawn, by the reason; the next run tries again."""
    figures = {}
    for name in figures_of(settings[scale].experiments):
        for folder in downloads(*FIGURES[name].experiments):
            if reason := external.missing(folder):
                figures.setdefault(reason, []).append(name)
    external.forget_missing(Path("results/data/fetched"))
    return figures
