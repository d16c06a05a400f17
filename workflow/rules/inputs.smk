# Where the data of an experiment or a figure are; no rule is here.


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


def fetched_by(experiment):
    """The folders of what an experiment needs from outside."""
    names = settings[scale].experiment(experiment).data.fetched
    return [Path("results/fetched", name) for name in names]


def fetched_for(figure):
    """The folders of what a figure needs from outside."""
    folders = map(fetched_by, FIGURES[figure].experiments)
    return sorted({folder for each in folders for folder in each})


def at_hand(folders):
    """Whether what is fetched into the folders could be had, once that has been tried."""
    for folder in folders:
        checkpoints.fetch.get(name=folder.name)
    return not any(map(fetching.missing, folders))
