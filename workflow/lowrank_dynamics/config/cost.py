"""What a job costs, from its settings alone: operations over a rate, numbers times their size, and
a margin so that few jobs retry.

A job that runs out of time resumes in its next attempt, and one that runs out of memory gets more.
This module imports no torch, because Snakemake loads it to build the graph of jobs.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from lowrank_dynamics.config.blocks import EVALUATED_AT_ONCE
from lowrank_dynamics.config.cards import CPU, Card, card
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.data import ConvolvedData
from lowrank_dynamics.config.networks import Matrix, convolutions, matrices
from lowrank_dynamics.config.parts import Part, images_at_once
from lowrank_dynamics.config.registries import OPTIMIZERS, PARAMETERIZATIONS
from lowrank_dynamics.config.settings import Settings

ACTIVATION = 100
"""The operations of matrix products that take as long as the activation of one number."""
CALL_SECONDS = 2e-5
"""The time of a call, however small the matrix. In a step a layer has five, and the products of the
optimizer.
"""
COPIES = 7
"""Copies of the weights: gradients, optimizer state, a checkpoint, the first gradient's factors."""
OUTPUT_COPIES = {"head": 6, "convolutions": 2}
"""Copies of the outputs of layers that are held at once, forward and backward."""
START_MINUTES = 5
"""The time to wake a node and to load libraries and data."""
MARGIN = 2
"""The factor by which requests exceed the expected time and host memory."""
PROGRAM_MEGABYTES, DRIVER_MEGABYTES, CONTEXT_MEGABYTES = 1_200, 2_800, 1_500
"""Python and torch on the host; with a GPU, CUDA on the host and on the GPU."""
BRIEF_MINUTES = 15
ATTEMPTS = 4
"""Attempts per job in the Slurm profile; Snakemake does not tell a workflow how often it
retries.
"""
FEWER_TRIALS = "`trials_per_job: 1` makes jobs of one trial"
FASTER = "a faster `gpu` helps, and `training.mixed_precision: true` if it trains convolutions"
SMALLER = "a smaller `samples_at_once` helps, or a `gpu` with more memory"


class Demand(NamedTuple):
    """A job's expected cost, and its first attempt's request, which is larger.

    The host holds data and weights and, without a GPU, as when `device` is cpu, everything else
    too.
    """

    seconds: float  # expected
    operations: int  # of all samples, counting activations too
    minutes: int  # requested
    megabytes: int  # requested of the host
    device_megabytes: int  # expected of the GPU; 0 without one

    @property
    def is_brief(self) -> bool:
        """Whether several such jobs in sequence still make a short one."""
        return self.minutes <= BRIEF_MINUTES


def training_demand(settings: Settings, name: str, cell: Cell, shard: range) -> Demand:
    """Return the demand of training the trials in `shard` of a cell of the experiment `name`.

    A step passes its samples forward and twice backward, and an optimizer's products of a matrix
    are as many samples as the matrix has rows or columns.
    """
    experiment = settings.of_variant(name, cell.variant)
    data, training, trials = experiment.data, experiment.training, len(shard)
    tuned = convolutions(data) if isinstance(data, ConvolvedData) and data.fine_tuned else []
    head = matrices(experiment, cell.parameterization)
    layers = trials * [*tuned, *head]
    dtype = "bfloat16" if tuned and training.mixed_precision else experiment.dtype
    products = OPTIMIZERS[training.optimizer].products
    narrow = max(min(layer.rows, layer.columns) for layer in layers)
    step = training.batch_size or data.training_samples
    images = data.training_samples + data.test_images
    evaluated = images if training.batch_size else data.test_images
    samples = training.steps * (3 * step + products * narrow)
    samples += evaluated * (1 + training.steps // experiment.observe.loss)
    if training.batch_size and experiment.observe.loss_gradient:
        measured = 1 + training.steps // experiment.observe.loss_gradient
        samples += 3 * data.training_samples * measured
    together = min(step, experiment.samples_at_once or step)
    most = max(together, experiment.samples_at_once or EVALUATED_AT_ONCE)
    passing = trials * OUTPUT_COPIES["head"] * most * _outputs(head)
    passing += trials * OUTPUT_COPIES["convolutions"] * together * _outputs(tuned)
    calls = trials * training.steps * (experiment.network.depth + 2) * (5 + products)
    kept = 2 * images * data.dimension * (1 if data.stored else trials)
    if PARAMETERIZATIONS[cell.parameterization].needs_gradient:
        kept += trials * COPIES * sum(matrix.size for matrix in matrices(experiment, "full"))
    return _demand(device_of(settings), dtype, layers, samples, passing, kept, calls)


def features_demand(settings: Settings, name: str, part: Part) -> Demand:
    """Return the demand of computing the features of a part of the images of the experiment called
    `name`.
    """
    data = settings.experiment(name).data
    assert isinstance(data, ConvolvedData)
    device = device_of(settings)
    layers = convolutions(data)
    kept = 2 * part.images * data.dimension
    together = images_at_once(data.size, on_gpu=device is not CPU)
    passing = OUTPUT_COPIES["convolutions"] * together * _outputs(layers)
    return _demand(device, "float32", layers, part.images, passing, kept, calls=0)


def _demand(
    device: Card,
    dtype: str,
    layers: list[Matrix],
    samples: int,
    passing: int,
    kept: int,
    calls: int,
) -> Demand:
    """Return the demand of a job that passes samples through layers, with at most so many numbers
    `passing` at a time, and keeps some besides the weights.
    """
    products = weights = 0
    for layer in layers:
        products += layer.places * layer.size
        weights += layer.size
    operations = samples * (2 * products + ACTIVATION * _outputs(layers))
    seconds = operations / getattr(device, dtype) + calls * CALL_SECONDS
    minutes = ceil(START_MINUTES + MARGIN * seconds / 60)
    size = (8 if dtype == "float64" else 4) / 1e6
    held = size * (kept + COPIES * weights)
    if device is CPU:
        megabytes = ceil(PROGRAM_MEGABYTES + MARGIN * (held + size * passing))
        return Demand(seconds, operations, minutes, megabytes, 0)
    megabytes = ceil(PROGRAM_MEGABYTES + DRIVER_MEGABYTES + MARGIN * held)
    device_megabytes = ceil(CONTEXT_MEGABYTES + held + size * passing)
    return Demand(seconds, operations, minutes, megabytes, device_megabytes)


def _outputs(layers: list[Matrix]) -> int:
    """Return how many numbers some layers compute of a sample."""
    return sum(layer.places * layer.rows for layer in layers)


def device_of(settings: Settings) -> Card:
    """Return what the jobs of a run compute on."""
    return CPU if settings.device == "cpu" else card(settings.gpu)


def jobs_of(settings: Settings, name: str) -> Iterator[tuple[str, Demand]]:
    """Yield what each job of the experiment called `name` does, in the order of the settings, and
    its demand; cells that differ only in activation do the same.
    """
    experiment = settings.experiment(name)
    for part in experiment.data.parts:
        yield "features", features_demand(settings, name, part)
    for cell in settings.cells(name):
        for shard in experiment.shards:
            network = cell.name.removeprefix(f"{cell.activation}-")
            work = f"{network}, trials: {len(shard)}"
            yield work, training_demand(settings, name, cell, shard)


def impossible(settings: Settings, longest: float) -> Iterator[str]:
    """Yield a sentence about each experiment with jobs expected to be too long or too large, and
    the remedy.

    Too long means longer than all attempts together, of at most `longest` minutes each; too large
    means more than the GPU's memory.
    """
    memory, allowed = device_of(settings).megabytes / 1e3, ATTEMPTS * longest / 60
    for name, experiment in settings.experiments.items():
        hours = gigabytes = 0.0
        for _, demand in jobs_of(settings, name):
            hours = max(hours, demand.seconds / 3_600)
            gigabytes = max(gigabytes, demand.device_megabytes / 1e3)
        fewer = FEWER_TRIALS if len(experiment.shards[0]) > 1 else ""
        if hours > allowed:
            takes = f"{hours:.1f} hours, and its {ATTEMPTS} attempts have {allowed:.1f}"
            yield f"{name}: a job is expected to take {takes}; {fewer or FASTER}"
        if gigabytes > memory:
            needs = f"{gigabytes:.1f} GB of a GPU that has {memory:.1f} GB"
            yield f"{name}: a job needs some {needs}; {fewer or SMALLER}"
