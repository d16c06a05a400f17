"""Which settings conflict: what the theory needs, and what is defined only for some networks."""

from collections.abc import Sequence

from lowrank_dynamics.config.blocks import Shared
from lowrank_dynamics.config.data import ConvolvedData, DrawnData
from lowrank_dynamics.config.registries import PARAMETERIZATIONS, activation

LARGEST_HESSIAN = 4_096
"""Rows of the largest Hessian that `observe.constants` decomposes, in some 20 seconds on a CPU."""


def require_sound(
    settings: Shared, activations: Sequence[str], parameterizations: Sequence[str]
) -> None:
    """Raise ValueError, naming the key and what would be valid, if some settings conflict."""
    low_rank = any(PARAMETERIZATIONS[name].low_rank for name in parameterizations)
    _require_the_theory(settings, low_rank)
    _require_projection(settings, parameterizations)
    _require_precision(settings)
    _require_batches(settings)
    _require_chunks(settings, activations)
    _require_observables(settings, activations)
    _require_a_common_stop(settings)
    if isinstance(settings.data, ConvolvedData) and settings.data.fine_tuned:
        _require_trainable_convolutions(settings, parameterizations)


def _require_the_theory(settings: Shared, low_rank: bool) -> None:
    """Check what section 2 needs: K < d/2, m >= d except for heads, and r >= 2K if low-rank."""
    network, dimension, classes = settings.network, settings.data.dimension, settings.data.classes
    if 2 * classes >= dimension:
        raise ValueError(
            f"data.classes must be below dimension / 2 = {dimension / 2:g}, got {classes}"
        )
    has_blocks = settings.observe.block_shares or settings.observe.gradient
    may_be_narrow = isinstance(settings.data, ConvolvedData) and not has_blocks
    if network.width < dimension and not may_be_narrow:
        raise ValueError(
            f"network.width must be at least the input dimension {dimension}, got {network.width}"
        )
    if low_rank or network.rank is not None:
        _require_rank(network.rank, classes, dimension, network.width)
    fits = 2 * (network.rank or 0) <= dimension <= network.width
    if network.rotation and not (network.rank == 2 * classes and fits):
        raise ValueError(
            f"network.rotation must be 0.0 unless rank = 2K and 2 rank <= d = {dimension} <= m"
        )
    _require_low_rank_choices(settings)
    if low_rank and not network.train_last_layer:
        raise ValueError(
            "network.train_last_layer must be true: low-rank networks train all their weights"
        )


def _require_projection(settings: Shared, parameterizations: Sequence[str]) -> None:
    """Check that there are hidden layers whose updates can be projected, and their block."""
    network, dimension, classes = settings.network, settings.data.dimension, settings.data.classes
    if settings.training.project is None:
        return
    if list(parameterizations) != ["full"] or not network.train_last_layer:
        raise ValueError(
            "training.project must be null except for the full network with train_last_layer true"
        )
    if network.width < dimension or dimension <= 2 * classes:
        raise ValueError(
            f"training.project must be null unless 2K = {2 * classes} < d = {dimension} <= m ="
            f" {network.width}"
        )


def _require_rank(rank: int | None, classes: int, dimension: int, width: int) -> None:
    most, symbol = min((dimension, "d"), (width, "m"))
    if rank is None or not 2 * classes <= rank <= most:
        raise ValueError(
            f"network.rank must be between 2K = {2 * classes} and {symbol} = {most}, got {rank}"
        )


def _require_low_rank_choices(settings: Shared) -> None:
    """Check that a choice about low-rank networks other than the default one has an effect."""
    network, dimension, classes = settings.network, settings.data.dimension, settings.data.classes
    rank = network.rank
    if rank is None and network.cores != "orthogonal":
        raise ValueError("network.cores must be orthogonal unless network.rank is set")
    if rank is None and not network.shares_draw:
        raise ValueError("network.shares_draw must be true unless network.rank is set")
    if network.extra_columns == "image" and (rank or 0) <= 2 * classes:
        raise ValueError(
            f"network.extra_columns must be drawn unless network.rank is above 2K = {2 * classes}"
        )
    fits = network.width == dimension and 6 * classes <= dimension
    if network.complements == "common" and not (rank == 2 * classes and fits):
        raise ValueError(
            "network.complements must be separate unless rank = 2K and 3 rank <= d = m; here"
            f" d = {dimension} and m = {network.width}"
        )


def _require_precision(settings: Shared) -> None:
    if settings.dtype == "float32" and isinstance(settings.data, DrawnData):
        raise ValueError(
            f"dtype must be float64 for {settings.data.source}: what is measured there is lost in"
            " float32's rounding"
        )


def _require_batches(settings: Shared) -> None:
    """Check that no batch is larger than the training data."""
    samples = settings.data.training_samples
    batches = {
        "training.batch_size": settings.training.batch_size,
        "network.first_batch": settings.network.first_batch,
    }
    for key, size in batches.items():
        if size is not None and size > samples:
            raise ValueError(f"{key} must be at most the {samples} samples, got {size}")


def _require_chunks(settings: Shared, activations: Sequence[str]) -> None:
    """Check that samples may pass in chunks: random slopes are drawn for a whole batch."""
    if settings.samples_at_once is None:
        return
    for name in activations:
        if activation(name).random:
            raise ValueError(
                f"samples_at_once must be null for {name}, which draws slopes for a whole batch"
            )


def _require_observables(settings: Shared, activations: Sequence[str]) -> None:
    """Check that what is observed is defined."""
    observe, network, classes = settings.observe, settings.network, settings.data.classes
    smallest = min(network.width, settings.data.dimension)
    if observe.singular_structure and smallest <= 2 * classes:
        raise ValueError(
            "observe.singular_structure must be null unless network.width is above 2K ="
            f" {2 * classes}"
        )
    if observe.singular_structure:
        _require_reference(observe.subspace_reference, settings.training.steps)
    if observe.start_eps and smallest <= classes:
        raise ValueError(
            f"observe.start_eps must be empty unless network.width is above K = {classes}"
        )
    if observe.gradient and not _has_constant_steps(settings):
        raise ValueError(
            "observe.gradient must be null except for depth 2 and full-batch gradient_descent at a"
            " constant rate"
        )
    if observe.linearity or observe.constants:
        _require_two_layers(settings)
    if observe.linearity:
        _require_slopes(activations)
    if observe.constants:
        _require_constants(settings, activations)


def _require_reference(first: int, steps: int) -> None:
    """Check that the reference of movement may be set within the steps."""
    if first > max(steps, 1):
        raise ValueError(
            f"observe.subspace_reference must be at most training.steps = {steps}, got {first}"
        )


def _has_constant_steps(settings: Shared) -> bool:
    training = settings.training
    constant = training.schedule == "constant" and training.steps > 0
    return settings.network.depth == 2 and training.is_gradient_descent and constant


def _require_two_layers(settings: Shared) -> None:
    training = settings.training
    least_squares = training.is_gradient_descent and training.objective == "squared_error"
    if not (settings.network.depth == 2 and least_squares):
        raise ValueError(
            "observe.linearity and observe.constants must be null except for depth 2,"
            " squared_error and full-batch descent"
        )


def _require_slopes(activations: Sequence[str]) -> None:
    for name in activations:
        if activation(name).random:
            raise ValueError(
                f"observe.linearity must be null for {name}, whose slope at zero is drawn anew"
            )


def _require_constants(settings: Shared, activations: Sequence[str]) -> None:
    whitened = isinstance(settings.data, DrawnData) and settings.data.whitened
    if not (whitened and all(activation(name).smooth for name in activations)):
        raise ValueError(
            "observe.constants must be null except for whitened data and smooth activations"
        )
    weights = settings.network.width * settings.data.dimension
    if weights > LARGEST_HESSIAN:
        raise ValueError(
            f"observe.constants must be null unless W_1 has at most {LARGEST_HESSIAN:,} weights,"
            f" whose Hessian is decomposed; here it has {weights:,}"
        )


def _require_a_common_stop(settings: Shared) -> None:
    """Check that everything is measured where a trial may stop, which is when the loss is."""
    observe = settings.observe
    if not settings.training.stop_near_linear_fit:
        return
    for cadence in (
        observe.singular_structure,
        observe.block_shares,
        observe.gradient,
        observe.change_rank,
        observe.linearity,
        observe.loss_gradient,
    ):
        if cadence and observe.loss % cadence:
            raise ValueError(
                "observe.loss must be a multiple of the other cadences, for trials stop when it is"
                " measured"
            )


def _require_trainable_convolutions(settings: Shared, parameterizations: Sequence[str]) -> None:
    """Check that nothing is asked that is defined only for matrices or fixed inputs."""
    if settings.observe.names != ["loss"]:
        raise ValueError("observe: only loss may be measured where convolutions are trained")
    if settings.training.optimizer == "muon" or settings.training.stop_near_linear_fit:
        raise ValueError(
            "training: neither muon nor stop_near_linear_fit may be used where convolutions are"
            " trained"
        )
    if "principal_components" in parameterizations:
        raise ValueError(
            "parameterizations: principal_components are of fixed inputs, not of trained features"
        )
    if settings.dtype != "float32":
        raise ValueError(
            f"dtype must be float32 where convolutions are trained, got {settings.dtype}"
        )
