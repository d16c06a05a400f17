# What rules ask for by the settings: where data are, what a job takes of a cluster; no rule is here.


def data_of(wildcards):
    """The settings of an experiment's data."""
    return settings[wildcards.scale].experiment(wildcards.experiment).data


def stored(wildcards, stage):
    """The file of an experiment's images or features; experiments with the same ones share it."""
    if stage is None:
        return []
    place = stored_at(settings, wildcards.scale, wildcards.experiment, stage)
    return f"results/{place}.safetensors"


def weights_of(wildcards):
    """The folder with the weights of an experiment's convolutions, if they are fetched."""
    return "results/fetched/vgg16" if "vgg16" in data_of(wildcards).fetched else []


def fetched_by(*experiments, scale=scale):
    """The folders of what some experiments need from outside."""
    data = [settings[scale].experiment(experiment).data for experiment in experiments]
    return sorted(
        {Path("results/fetched", name) for each in data for name in each.fetched}
    )


def at_hand(folders):
    """Whether what is fetched into the folders could be had, once that has been tried."""
    for folder in folders:
        checkpoints.fetch.get(name=folder.name)
    return not any(map(fetching.missing, folders))


def registered(wildcards):
    """What the registries say of a cell's activation and optimizer, so that a further entry trains nothing again."""
    cell = settings[wildcards.scale].cell(wildcards.experiment, wildcards.cell)
    experiment = settings[wildcards.scale].experiment(wildcards.experiment)
    optimizer = experiment.of_variant(cell.variant).training.optimizer
    return [str(ACTIVATIONS[cell.activation]), str(OPTIMIZERS[optimizer])]


def asks_for_gpu(wildcards):
    """The GPUs that a job asks for: one, unless the settings forbid it."""
    return 0 if settings[wildcards.scale].device == "cpu" else 1


def training_demand(wildcards):
    """The time and memory that a cell asks for."""
    return demand.of_training(
        settings[wildcards.scale],
        wildcards.experiment,
        settings[wildcards.scale].cell(wildcards.experiment, wildcards.cell),
    )


def features_demand(wildcards):
    """The time and memory that the features of an experiment ask for."""
    return demand.of_features(settings[wildcards.scale], wildcards.experiment)


def of_figures(path, *, fetched, scale=scale):
    """The files at `path` of the figures that need something from outside, as far as it is at hand, or of the others.

    Apart, so that the latter do not wait until the former are known.
    """
    folders = {
        name: fetched_by(*figure.experiments) for name, figure in FIGURES.items()
    }
    wanted = [
        name
        for name in FIGURES
        if bool(folders[name]) == fetched and at_hand(folders[name])
    ]
    return expand(path, scale=scale, figure=wanted, format=FORMATS)


def metrics_of(wildcards):
    """The metrics that a figure is drawn from."""
    return expand(
        "results/{scale}/metrics/{experiment}.parquet",
        scale=wildcards.scale,
        experiment=FIGURES[wildcards.figure].experiments,
    )


def tell_missing():
    """Print which figures could not be drawn and why, and let the next run try again."""
    figures = {}
    for name, figure in FIGURES.items():
        for folder in fetched_by(*figure.experiments):
            figures.setdefault(fetching.missing(folder), []).append(name)
    for reason in filter(None, figures):
        print(f"Not drawn: {', '.join(figures[reason])}, because {reason}")
    fetching.forget_missing(Path("results/fetched"))
