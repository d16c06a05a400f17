"""The time and memory that a job requests of a cluster, from its settings alone, with a margin so
that few jobs retry.

A job that runs out of time resumes in its next attempt, and one that runs out of memory gets more.
This module imports no torch, because Snakemake loads it to build the graph of jobs.
"""

import math
from typing import NamedTuple

from lowrank_dynamics.config.cards import speed
from lowrank_dynamics.config.cell import EVALUATED_AT_ONCE
from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.experiment import Experiment
from lowrank_dynamics.config.operations import matrices
from lowrank_dynamics.config.parts import Part, images_at_once
from lowrank_dynamics.config.registries import (
    CONVOLUTIONS,
    IMAGES,
    OPTIMIZERS,
    PARAMETERIZATIONS,
    POOL,
)
from lowrank_dynamics.config.settings import Cell, Settings

CPU_OPERATIONS_A_SECOND = {"float32": 6e10, "float64": 4e10}
"""Per CPU core, as measured in laptop runs; a test holds them to a factor of three."""
OPERATIONS_OF_AN_ACTIVATION = 100
"""The matrix-product operations that take as long as the activation of one number."""
SECONDS_A_MATRIX = 1e-4
"""A step's time per matrix and trial, however small the matrix: the optimizer, the observables."""
SECONDS_A_PRODUCT = 3e-5
"""The time per matrix product of an optimizer's update, however small the matrix."""
START_COPIES = 9
"""Copies of the full network's weights while its first gradient is decomposed, in double precision,
before training.
"""
BYTES_A_NUMBER = {"float32": 4, "float64": 8}
COPIES = 6
"""Copies of weights and activations held at once: gradients, optimizer state, a checkpoint being
written.
"""
START_SECONDS = 300
"""Before training begins: waking a node, loading libraries and data."""
PROGRAM_MEGABYTES = {"cpu": 1_200, "gpu": 4_000}
"""Python, torch, and a GPU driver."""
CONTEXT_MEGABYTES = 1_500
"""What a GPU holds besides a job's numbers: CUDA and its libraries' workspace."""
CAUTION = 2
"""The factor by which requests exceed expected time and memory."""
BRIEF_MINUTES = 15


class Demand(NamedTuple):
    """A job's expected cost, and its first attempt's request, which is larger.

    The host holds data and weights and, without a GPU, as when `device` is cpu, everything else
    too.
    """

    seconds: float  # expected
    operations: float
    minutes: int  # requested
    megabytes: int  # requested of the host
    device_megabytes: int  # expected of the GPU; 0 without one

    @property
    def is_brief(self) -> bool:
        """Whether several such jobs in sequence still make a short one."""
        return self.minutes <= BRIEF_MINUTES


class Work(NamedTuple):
    """A network's multiplications and activations in the forward pass of one sample, and its
    weights.
    """

    multiplications: int
    activations: int
    weights: int

    @property
    def operations(self) -> int:
        """The forward pass of one sample, in matrix-product operations."""
        return 2 * self.multiplications + OPERATIONS_OF_AN_ACTIVATION * self.activations

    def seconds(self, products: float, others: float) -> float:
        """Return its duration, given the operations per second in products and in activations."""
        return (
            2 * self.multiplications / products
            + OPERATIONS_OF_AN_ACTIVATION * self.activations / others
        )


NOTHING = Work(0, 0, 0)


def training_demand(settings: Settings, name: str, cell: Cell, shard: range) -> Demand:
    """Return the demand of training the trials in `shard` of a cell of the experiment `name`."""
    experiment = settings.experiment(name).of_variant(cell.variant)
    data, training, trials = experiment.data, experiment.training, len(shard)
    head = _head(experiment, cell.parameterization)
    start = (
        _head(experiment, "full")
        if PARAMETERIZATIONS[cell.parameterization].needs_gradient
        else NOTHING
    )
    convolutions = (
        _convolutions(data) if isinstance(data, ConvolvedData) and data.fine_tuned else NOTHING
    )
    batch = training.batch_size or data.training_samples
    evaluated = data.test_images + (data.training_samples if training.batch_size else 0)
    passes = 3 * batch * training.steps + evaluated * (
        1 + training.steps // experiment.observe.loss
    )
    together = min(batch, experiment.samples_at_once or batch)
    evaluated_together = experiment.samples_at_once or EVALUATED_AT_ONCE
    activations = (
        COPIES * max(together, evaluated_together) * head.activations
        + 2 * together * convolutions.activations
    )
    drawn = isinstance(data, DrawnData)  # by each trial
    samples, rate = trials * passes, _rate(settings, experiment.dtype)
    return _demand(
        settings,
        experiment,
        seconds=samples * head.seconds(rate, rate)
        + samples
        * convolutions.seconds(
            _rate(settings, "bfloat16") if training.mixed_precision else rate, rate
        )
        + trials * training.steps * (experiment.network.depth + 2) * SECONDS_A_MATRIX
        + trials * training.steps * _update_seconds(experiment, cell.parameterization, rate),
        operations=samples * (head.operations + convolutions.operations),
        inputs=data.dimension
        * (data.training_samples + data.test_images)
        * (trials if drawn else 1),
        kept=trials
        * max(
            COPIES * (head.weights + convolutions.weights),
            START_COPIES * start.weights - activations,
        ),
        passing=trials * activations,
    )


def features_demand(settings: Settings, name: str, part: Part) -> Demand:
    """Return the demand of computing the features of a part of the images of the experiment called
    `name`.
    """
    experiment = settings.experiment(name)
    data = experiment.data
    assert isinstance(data, ConvolvedData)
    convolutions = _convolutions(data)
    operations = part.images * convolutions.operations
    together = images_at_once(data.size, "cpu" if settings.device == "cpu" else "cuda")
    pixels = math.prod(IMAGES[data.images].shape) * (data.training_images + data.test_images)
    return _demand(
        settings,
        experiment,
        seconds=operations / _rate(settings, experiment.dtype),
        operations=operations,
        inputs=pixels / BYTES_A_NUMBER["float32"] + part.images * data.dimension,
        kept=COPIES * convolutions.weights,
        passing=2 * together * convolutions.activations,
    )


def _rate(settings: Settings, dtype: str) -> float:
    """Return the device's operations per second; on a CPU bfloat16 is no faster than single
    precision.
    """
    if settings.device == "cpu":
        return CPU_OPERATIONS_A_SECOND["float32" if dtype == "bfloat16" else dtype]
    return speed(settings.gpu, dtype)


def _demand(
    settings: Settings,
    experiment: Experiment,
    *,
    seconds: float,
    operations: float,
    inputs: float,
    kept: float,
    passing: float,
) -> Demand:
    """Return the demand of a job that holds `inputs` and `kept` numbers, and `passing` ones on the
    device only.
    """
    on_gpu = settings.device != "cpu"
    size = BYTES_A_NUMBER[experiment.dtype] / 1e6
    numbers = 2 * inputs + kept + (0 if on_gpu else passing)  # in the file and as they are used
    return Demand(
        seconds=seconds,
        operations=operations,
        minutes=math.ceil((START_SECONDS + CAUTION * seconds) / 60),
        megabytes=math.ceil(
            PROGRAM_MEGABYTES["gpu" if on_gpu else "cpu"] + CAUTION * size * numbers
        ),
        device_megabytes=(
            math.ceil(CONTEXT_MEGABYTES + size * (inputs + kept + passing)) if on_gpu else 0
        ),
    )


def _head(experiment: Experiment, parameterization: str) -> Work:
    m, r, layers = (
        experiment.network.width,
        experiment.network.rank or 0,
        experiment.network.depth - 1,
    )
    activations = {"full": layers * m, "adapters": layers * (m + r)}.get(
        parameterization, layers * r + m
    )
    weights = sum(matrix.size for matrix in matrices(experiment, parameterization))
    return Work(weights, activations, weights)


def _update_seconds(experiment: Experiment, parameterization: str, rate: float) -> float:
    """Return how long the matrix products take by which an optimizer makes updates of one trial's
    gradients.
    """
    trained = [matrix for matrix in matrices(experiment, parameterization) if matrix.trained]
    each = [
        SECONDS_A_PRODUCT + 2 * matrix.size * min(matrix.rows, matrix.columns) / rate
        for matrix in trained
    ]
    return OPTIMIZERS[experiment.training.optimizer].products * sum(each)


def _convolutions(data: ConvolvedData) -> Work:
    side, channels = data.size, 3
    multiplications = activations = weights = 0
    for layer in CONVOLUTIONS[data.convolutions].layers:
        if layer == POOL:
            side //= 2
            continue
        weights += 9 * channels * layer
        multiplications += 9 * channels * layer * side**2
        activations += layer * side**2
        channels = layer
    return Work(multiplications, activations, weights)
