"""Which settings conflict: what the theory needs, and what is defined only for some networks."""

from collections.abc import Iterator, Sequence

from lowrank_dynamics.config.blocks import Shared
from lowrank_dynamics.config.data import ConvolvedData, DrawnData, PixelData
from lowrank_dynamics.config.registries import IMAGES, PARAMETERIZATIONS, activation

NOT_WHERE_TRIALS_STOP = ("start_eps", "constants")
"""What need not be measured when a trial stops: `start_eps` is about the start, and `constants`,
which decompose a Hessian, are compared with their bounds wherever they are measured.
"""
LARGEST_HESSIAN = 4_096
"""Rows of the largest Hessian that `observe.constants` decomposes, in some 20 seconds on a CPU."""


def require_sound(
    settings: Shared, activations: Sequence[str], parameterizations: Sequence[str]
) -> None:
    """Raise ValueError, naming the key and what would be valid, if some settings conflict."""
    for conflict in _conflicts(settings, activations, parameterizations):
        raise ValueError(conflict)


def _conflicts(
    settings: Shared, activations: Sequence[str], parameterizations: Sequence[str]
) -> Iterator[str]:
    """Yield a clause for each conflict. A check may presuppose that those before it found none."""
    low_rank = any(PARAMETERIZATIONS[name].low_rank for name in parameterizations)
    if settings.network.architecture == "transformer_block":
        yield from _of_transformers(settings, parameterizations)
    yield from _with_the_theory(settings, low_rank)
    if "adapters_from_gradient" in parameterizations:
        yield from _of_two_ranks(settings)
    if settings.training.project is not None:
        yield from _of_projections(settings, parameterizations)
    if settings.dtype == "float32" and isinstance(settings.data, DrawnData):
        source = settings.data.source
        yield f"dtype must be float64 for {source}: float32's rounding hides what is measured there"
    yield from _of_batches(settings)
    for name in activations:
        if settings.samples_at_once is not None and activation(name).random:
            yield f"samples_at_once must be null for {name}, which draws slopes for a whole batch"
    yield from _of_observables(settings, activations)
    yield from _with_a_common_stop(settings)
    if isinstance(settings.data, ConvolvedData) and settings.data.fine_tuned:
        yield from _with_trained_convolutions(settings, parameterizations)


def _of_transformers(settings: Shared, parameterizations: Sequence[str]) -> Iterator[str]:
    """Check that a transformer block reads images and is the full network, and what is observed."""
    network, training = settings.network, settings.training
    if not isinstance(settings.data, PixelData) or IMAGES[settings.data.source].shape[0] != 1:
        yield "network.architecture must be mlp except for the pixels of gray images"
    if network.depth != 3 or list(parameterizations) != ["full"] or not network.train_last_layer:
        where = "depth 3, train_last_layer true and the full network"
        yield f"network.architecture must be mlp except for {where}"
    if training.project is not None or training.stop_near_linear_fit is not None:
        yield "training.project and stop_near_linear_fit must be null for a transformer_block"
    if network.rank is not None:
        yield "network.rank must be null for a transformer_block"
    if training.optimizer == "muon":
        yield "training.optimizer must not be muon for a transformer_block"
    if set(settings.observe.names) - {"loss", "block_shares", "change_rank"}:
        yield "observe: only loss, block_shares and change_rank may be measured in a transformer"


def _with_the_theory(settings: Shared, low_rank: bool) -> Iterator[str]:
    """Check what section 2 needs: K < d/2, m >= d except for heads, and r >= 2K if low-rank."""
    network, dimension, classes = settings.network, settings.dimension, settings.data.classes
    if 2 * classes >= dimension:
        yield f"data.classes must be below dimension / 2 = {dimension / 2:g}, got {classes}"
    observe = settings.observe
    has_blocks = observe.block_shares or observe.block_magnitudes or observe.gradient
    may_be_narrow = isinstance(settings.data, ConvolvedData) and not has_blocks
    if network.width < dimension and not may_be_narrow:
        least = f"at least the input dimension {dimension}"
        yield f"network.width must be {least}, got {network.width}"
    if low_rank or network.rank is not None:
        most, symbol = min((dimension, "d"), (network.width, "m"))
        if network.rank is None or not 2 * classes <= network.rank <= most:
            bounds = f"2K = {2 * classes} and {symbol} = {most}"
            yield f"network.rank must be between {bounds}, got {network.rank}"
    fits = 2 * (network.rank or 0) <= dimension <= network.width
    if network.rotation and not (network.rank == 2 * classes and fits):
        yield f"network.rotation must be 0.0 unless rank = 2K and 2 rank <= d = {dimension} <= m"
    yield from _of_low_rank_choices(settings)
    if low_rank and not network.train_last_layer:
        yield "network.train_last_layer must be true: low-rank networks train all their weights"


def _of_two_ranks(settings: Shared) -> Iterator[str]:
    """Check that gradients have the next r left singular vectors after the first r."""
    network = settings.network
    most = min(settings.dimension, network.width) // 2
    if network.rank is not None and network.rank > most:
        yield f"network.rank must be at most {most} for adapters_from_gradient, got {network.rank}"


def _of_projections(settings: Shared, parameterizations: Sequence[str]) -> Iterator[str]:
    """Check that there are hidden layers whose updates can be projected, and their block."""
    network, dimension = settings.network, settings.data.dimension
    if list(parameterizations) != ["full"] or not network.train_last_layer:
        where = "the full network with train_last_layer true"
        yield f"training.project must be null except for {where}"
    if network.width < dimension:
        yield f"training.project must be null unless network.width is at least d = {dimension}"


def _of_low_rank_choices(settings: Shared) -> Iterator[str]:
    """Check that a choice about low-rank networks other than the default one has an effect."""
    network, dimension, classes = settings.network, settings.data.dimension, settings.data.classes
    rank = network.rank
    if rank is None and network.cores != "orthogonal":
        yield "network.cores must be orthogonal unless network.rank is set"
    if rank is None and not network.shares_draw:
        yield "network.shares_draw must be true unless network.rank is set"
    if network.extra_columns == "image" and (rank or 0) <= 2 * classes:
        above = f"network.rank is above 2K = {2 * classes}"
        yield f"network.extra_columns must be drawn unless {above}"
    fits = network.width == dimension and 6 * classes <= dimension
    if network.complements == "common" and not (rank == 2 * classes and fits):
        here = f"here d = {dimension} and m = {network.width}"
        yield f"network.complements must be separate unless rank = 2K and 3 rank <= d = m; {here}"


def _of_batches(settings: Shared) -> Iterator[str]:
    """Check that no batch is larger than the training data."""
    samples = settings.data.training_samples
    batches = {
        "training.batch_size": settings.training.batch_size,
        "network.first_batch": settings.network.first_batch,
    }
    for key, size in batches.items():
        if size is not None and size > samples:
            yield f"{key} must be at most the {samples} samples, got {size}"


def _of_observables(settings: Shared, activations: Sequence[str]) -> Iterator[str]:
    """Check that what is observed is defined."""
    observe, network, training = settings.observe, settings.network, settings.training
    classes = settings.data.classes
    smallest = min(network.width, settings.data.dimension)
    if observe.singular_structure and smallest <= 2 * classes:
        above = f"network.width is above 2K = {2 * classes}"
        yield f"observe.singular_structure must be null unless {above}"
    if observe.block_rank is not None:
        yield from _of_block_rank(settings, observe.block_rank)
    if training.may_diverge and observe.names != ["loss"]:
        yield "training.may_diverge must be false except where only the loss is observed"
    first = observe.subspace_reference
    if observe.singular_structure and first > max(training.steps, 1):
        most = f"at most training.steps = {training.steps}"
        yield f"observe.subspace_reference must be {most}, got {first}"
    if observe.start_eps and smallest <= classes:
        yield f"observe.start_eps must be empty unless network.width is above K = {classes}"
    full_batch = network.depth == 2 and training.is_gradient_descent
    has_constant_steps = training.schedule == "constant" and training.steps > 0
    if observe.gradient and not (full_batch and has_constant_steps):
        where = "depth 2 and full-batch gradient_descent at a constant rate"
        yield f"observe.gradient must be null except for {where}"
    if observe.gradient and training.project is not None:
        why = "because then the updates are not the gradient's"
        yield f"observe.gradient must be null where training.project is set, {why}"
    is_least_squares = full_batch and training.objective == "squared_error"
    if (observe.linearity or observe.constants) and not is_least_squares:
        where = "depth 2, squared_error and full-batch descent"
        yield f"observe.linearity and observe.constants must be null except for {where}"
    for name in activations:
        if observe.linearity and activation(name).random:
            yield f"observe.linearity must be null for {name}, whose slope at zero is random"
    whitened = isinstance(settings.data, DrawnData) and settings.data.whitened
    smooth = all(activation(name).smooth for name in activations)
    if observe.constants and not (whitened and smooth):
        yield "observe.constants must be null except for whitened data and smooth activations"
    if observe.constants and network.train_last_layer:
        yield "observe.constants must be null unless network.train_last_layer is false"
    weights = network.width * settings.data.dimension
    if observe.constants and weights > LARGEST_HESSIAN:
        most = f"W_1 has at most {LARGEST_HESSIAN:,} weights, whose Hessian is decomposed"
        yield f"observe.constants must be null unless {most}; here it has {weights:,}"


def _of_block_rank(settings: Shared, rank: int) -> Iterator[str]:
    """Check that blocks of another rank than K are defined, measured, and not needed for K."""
    observe = settings.observe
    largest = (settings.dimension - 1) // 2
    if rank > largest:
        yield f"observe.block_rank must be at most {largest}, below d/2, got {rank}"
    if settings.training.project is not None:
        yield "observe.block_rank must be null where training.project is set"
    if not (observe.block_shares or observe.block_magnitudes):
        yield "observe.block_rank must be null where no blocks are measured"
    if observe.gradient:
        yield "observe.block_rank must be null where observe.gradient is measured"


def _with_a_common_stop(settings: Shared) -> Iterator[str]:
    """Check that what has a last value is measured where a trial may stop, which is when the loss
    is.
    """
    observe = settings.observe
    if settings.training.stop_near_linear_fit is None:
        return
    for name in observe.names:
        if name in NOT_WHERE_TRIALS_STOP:
            continue
        if observe.loss % getattr(observe, name):
            why = "because trials stop when it is measured"
            yield f"observe.loss must be a multiple of the other cadences, {why}"


def _with_trained_convolutions(settings: Shared, parameterizations: Sequence[str]) -> Iterator[str]:
    """Check that nothing is asked that is defined only for matrices or fixed inputs."""
    where = "where convolutions are trained"
    if settings.observe.names != ["loss"]:
        yield f"observe: only loss may be measured {where}"
    if settings.training.project or settings.training.may_diverge:
        yield f"training: neither project nor may_diverge may be used {where}"
    if settings.training.optimizer == "muon" or settings.training.stop_near_linear_fit:
        yield f"training: neither muon nor stop_near_linear_fit may be used {where}"
    if "principal_components" in parameterizations:
        what = "of fixed inputs, not of trained features"
        yield f"parameterizations: principal_components are {what}"
    if settings.dtype != "float32":
        yield f"dtype must be float32 {where}, got {settings.dtype}"
