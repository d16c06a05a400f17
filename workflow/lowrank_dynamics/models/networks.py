"""The networks that the workflow trains, with their trials stacked on the leading axis of each
weight, and their activations: the paper's MLP and LowRankMLP, and an MLP with adapters or factors.
"""

import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowrank_dynamics.config import registries
from lowrank_dynamics.errors import UserError


class RReLU(nn.Module):
    """Randomized leaky ReLU whose slopes come from each trial's own generator.

    In training every negative entry's slope is uniform in [`lower`, `upper`], in evaluation their
    mean. `torch.nn.RReLU` draws from the global generator, which would tie the trials together.
    """

    lower, upper = 1 / 8, 1 / 3

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.generators = generators

    def forward(self, z: Tensor) -> Tensor:
        """Map pre-activations (trials, width, samples) to activations of the same shape and
        dtype.
        """
        if not self.training:
            return functional.leaky_relu(z, (self.lower + self.upper) / 2)
        slopes = torch.empty(z.shape, dtype=z.dtype)
        for trial, generator in zip(slopes, self.generators, strict=True):
            trial.uniform_(self.lower, self.upper, generator=generator)
        # a GPU computes on while its slopes are drawn and moved
        moved = slopes.to(z.device, non_blocking=True)
        return moved.masked_fill_(z >= 0, 1.0) * z


class Swish(nn.Module):
    """phi_beta(z) = z sigmoid(beta z): nearly linear for a small beta, SiLU for 1, nearly GELU for
    1.702, then ReLU.
    """

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, z: Tensor) -> Tensor:
        """Map entries of any shape and dtype to their activations."""
        return functional.silu(self.beta * z) / self.beta


class TrialByTrial(nn.Module):
    """An elementwise activation whose rounding does not depend on a trial's place in the stack; it
    may be in place.

    On a CPU, entries that fill a vector are computed by other code than the few left over at the
    end, which may round an exponential differently. So the stack is taken as a whole only if each
    trial fills its vectors.
    """

    vector = 32
    """A multiple of how many entries any CPU takes at once."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        """Map pre-activations (trials, width, samples) to activations of the same shape and
        dtype.
        """
        if z[0].numel() % self.vector == 0:
            return self.activation(z)
        return torch.stack([self.activation(trial.clone()) for trial in z])


def make_activation(name: str, generators: Sequence[torch.Generator]) -> nn.Module:
    """Return the module of the activation called `name`; `generators`, one a trial, serve the
    random ones. Raises UserError unless phi(0) = 0.
    """
    activation = registries.activation(name)
    module_class = pkgutil.resolve_name(activation.target)
    if activation.random:
        return module_class(generators)
    module = module_class(**activation.options)
    at_zero = float(module(torch.zeros(1)))
    if at_zero != 0:
        raise UserError(
            f"the activation {name} maps 0 to {at_zero:.3g}, and the theory needs phi(0) = 0;"
            " choose another one, or shift it"
        )
    return TrialByTrial(module)


class StackedNetwork(nn.Module):
    """A network whose trials are stacked on the leading axis of each parameter."""

    @property
    def trials(self) -> int:
        """The number of stacked trials."""
        return len(next(self.parameters()))


class MLP(StackedNetwork):
    """f(X) = W_L phi(W_{L-1} phi(... phi(W_1 X))), without biases (section 2).

    `weights` holds W_1: (trials, m, d), W_2 .. W_{L-1}: (trials, m, m) and W_L: (trials, K, m), of
    one dtype. With `train_last_layer=False` W_L stays fixed, as in the theory setting of section 3.
    """

    def __init__(
        self, weights: Sequence[Tensor], activation: nn.Module, *, train_last_layer: bool = True
    ) -> None:
        super().__init__()
        self.weights = _copied(weights)
        self.weights[-1].requires_grad_(train_last_layer)
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (d, N) or (trials, d, N) to outputs (trials, K, N)."""
        *hidden, last = self.weights
        features = inputs
        for weight in hidden:
            features = self.activation(weight @ features)
        return last @ features

    @property
    def hidden_weights(self) -> list[Tensor]:
        """W_1 .. W_{L-1}, detached: what spectra, subspace movement and block shares are measured
        on.
        """
        return [weight.detach() for weight in self.weights[:-1]]


class AdaptedMLP(StackedNetwork):
    """W_L phi((W_{L-1} + B_{L-1} A_{L-1}) phi(... phi((W_1 + B_1 A_1) X))): low-rank adapters on
    frozen weights.

    `weights` are those of `MLP`, of which W_L alone is trained; `downward` holds A_l: (trials, r,
    n), `upward` B_l: (trials, m, r).
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        downward: Sequence[Tensor],
        upward: Sequence[Tensor],
        activation: nn.Module,
    ) -> None:
        super().__init__()
        *hidden, last = weights
        self.hidden = _copied(hidden).requires_grad_(False)
        self.downward = _copied(downward)
        self.upward = _copied(upward)
        self.last = nn.Parameter(last.clone())
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (d, N) or (trials, d, N) to outputs (trials, K, N)."""
        features = inputs
        for weight, down, up in zip(self.hidden, self.downward, self.upward, strict=True):
            frozen = weight @ features
            adapted = up @ (down @ features)
            features = self.activation(frozen + adapted)
        return self.last @ features


class FactorizedMLP(StackedNetwork):
    """W_L phi(B_{L-1} A_{L-1} phi(... phi(B_1 A_1 X))): every hidden weight as a product of two
    factors.

    `downward` holds A_l: (trials, r, n), `upward` B_l: (trials, m, r), and `last` is W_L.
    """

    def __init__(
        self,
        downward: Sequence[Tensor],
        upward: Sequence[Tensor],
        last: Tensor,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.downward = _copied(downward)
        self.upward = _copied(upward)
        self.last = nn.Parameter(last.clone())
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (d, N) or (trials, d, N) to outputs (trials, K, N)."""
        features = inputs
        for down, up in zip(self.downward, self.upward, strict=True):
            features = self.activation(up @ (down @ features))
        return self.last @ features


class LowRankMLP(StackedNetwork):
    """W_L phi(U W~_{L-1} phi(W~_{L-2} ... phi(W~_1 V' X))): the low-rank MLP of equation (10).

    `output_factor` U: (trials, m, r), `input_factor` V: (trials, d, r), `cores` W~_1 .. W~_{L-1}:
    (trials, r, r) and `last` W_L: (trials, K, m). The last hidden activation acts in m dimensions,
    the others in r.
    """

    def __init__(
        self,
        input_factor: Tensor,
        cores: Sequence[Tensor],
        output_factor: Tensor,
        last: Tensor,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.input_factor = nn.Parameter(input_factor.clone())
        self.cores = _copied(cores)
        self.output_factor = nn.Parameter(output_factor.clone())
        self.last = nn.Parameter(last.clone())
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (d, N) or (trials, d, N) to outputs (trials, K, N)."""
        *inner, outermost = self.cores
        features = self.input_factor.mT @ inputs
        for core in inner:
            features = self.activation(core @ features)
        compressed = outermost @ features
        features = self.activation(self.output_factor @ compressed)
        return self.last @ features


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation and at the end, also that by an error, back into its mode."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _copied(stacks: Sequence[Tensor]) -> nn.ParameterList:
    """Return trained parameters with the same values."""
    return nn.ParameterList(stack.clone() for stack in stacks)
