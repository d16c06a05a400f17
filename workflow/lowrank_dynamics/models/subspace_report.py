"""What the theory says about your own model before anything is trained."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.big_basis import (
    FirstGradient,
    Loss,
    loss_gradient,
    require_nonzero_weight,
)
from lowrank_dynamics.models.chain import NORMALIZATION, Chain, chain_of, is_elementwise
from lowrank_dynamics.models.low_rank import TRAINED, spread_of_start
from lowrank_dynamics.models.no_trace import buffers_kept
from lowrank_dynamics.models.submodules import copy_of, submodule
from lowrank_dynamics.models.subspaces import in_float64
from lowrank_dynamics.models.traced import name_of

SMALL_REST = 0.05
"""The part of the squared first gradient beyond rank K up to which it is nearly of rank K: at eps =
0.1, the paper's largest, it is below with smooth activations, and with ReLU far above at any eps
(figure 11)."""
WEAK, STRONG = 0.45, 0.65
"""The spread of phi' up to which block 1 keeps nine tenths of the change, and from which it keeps
less than eight: ELU has 0.15, SiLU 0.28, GELU 0.40, phi_beta with beta = 3 and 10 has 0.56 and
0.70, ReLU 0.71 (figures 3, smoothness)."""
FAR = 10.0
"""sigma_max / sigma_min of hidden weights from which they are far from eps times orthonormal
columns: with the weights that PyTorch makes, of 784 x 784, block 1 keeps 0.3 and 0.02 of the change
of two layers, where orthogonal ones keep 0.5 and 0.7 (docs/library.ipynb)."""
AT_ZERO = 0.01
"""The phi(0) up to which it counts as 0, which the theory needs: the sigmoid has 0.5, and of its
second layer block 1 keeps half of the change where SiLU's keeps all of it."""
SCALE = 0.3
"""The size of pre-activations at the linear fit (docs/beyond.md, study 3)."""


@dataclass(frozen=True)
class SubspaceReport:
    """What decides whether a low-rank network in S_big is to be expected to follow an MLP; `str` of
    it is the report.

    `classes` K outputs, `dimension` d inputs, `widths` of the hidden layers. `singular_values` are
    all those of the first gradient, float64. `derivative_spread` is the distance of phi'(W_1 X)
    from a constant matrix relative to its norm, on the batch of the loss; `later_spread` the same
    for normal pre-activations of size 0.3, as they are when a network has learned the linear part.
    Where no activation follows the first layer, as in a low-rank network, both are those of the
    first layer that one follows. `conditions` are sigma_max / sigma_min of the hidden weights, 1
    for eps times orthonormal columns; `spread_of_start` tells a trained first layer from a random
    one. `at_zero` is phi(0), which the theory needs to be 0. `balanced` tells a cross-entropy with
    softmax, whose first gradient has rank at most K - 1 where the activations are linear, from
    other losses.
    """

    classes: int
    dimension: int
    widths: tuple[int, ...]
    singular_values: tuple[float, ...]
    derivative_spread: float
    later_spread: float
    conditions: tuple[float, ...]
    spread_of_start: float
    at_zero: float = 0.0
    balanced: bool = False

    @property
    def gradient_rank(self) -> int:
        """The rank k that the first gradient nearly has: K, or K - 1 for a cross-entropy with
        softmax.
        """
        return self.classes - 1 if self.balanced else self.classes

    @property
    def tail(self) -> float:
        """sigma_{k+1} / sigma_k of the first gradient; 0 if there is no further one."""
        return self._ratio(self.gradient_rank)

    @property
    def beyond_rank(self) -> float:
        """How much of the squared first gradient lies beyond rank k."""
        squares = [value**2 for value in self.singular_values]
        return sum(squares[self.gradient_rank :]) / sum(squares)

    @property
    def expectation(self) -> str:
        """Whether S_big is to be expected to work, and why, in one line."""
        if 2 * self.classes >= self.dimension:
            few = f"K = {self.classes} is not below d/2 = {self.dimension / 2:g}"
            return f"not to be expected to work: {few}"
        if 2 * self.classes > min(self.widths):
            return (
                f"not to be expected to work: 2K = {2 * self.classes} is above the smallest width,"
                f" {min(self.widths)}"
            )
        if self.spread_of_start > TRAINED:
            return (
                "not to be expected to work: the first layer seems to be trained, and a low-rank"
                " network starts anew"
            )
        if self.later_spread >= STRONG:
            return "not to be expected to work: the activation is curved too strongly, as ReLU is"
        if self.later_spread > WEAK:
            return (
                "doubtful: the activation is curved strongly, so part of the change will lie"
                " outside of S_big"
            )
        if len(self.widths) > 1 and abs(self.at_zero) > AT_ZERO:
            return (
                f"doubtful: phi(0) = {self.at_zero:.2g}, and from the second layer on the theory"
                " needs 0; subtract it"
            )
        if self.beyond_rank > SMALL_REST:
            return (
                f"doubtful: the first gradient is not nearly of rank {self._rank_symbol}; smaller"
                " weights (eps) make it so"
            )
        if max(self.conditions) > FAR:
            return (
                "doubtful: hidden weights are far from eps times orthonormal columns; see"
                " nn.init.orthogonal_"
            )
        return "to be expected to work"

    def __str__(self) -> str:
        """Return the whole report in lines."""
        percent, little = 100 * self.beyond_rank, 100 * SMALL_REST
        rank = self._rank_symbol
        values = "sigma_K / sigma_{K-1}" if self.balanced else "sigma_{K+1} / sigma_K"
        conditions = [f"{condition:.3g}" for condition in self.conditions]
        lines = {
            "outputs K, inputs d, hidden widths": (
                f"{self.classes}, {self.dimension}, {self.widths}"
            ),
            "smallest rank 2K": f"{2 * self.classes}",
            f"{values} of the first gradient": f"{self.tail:.2g}",
            f"its square beyond rank {rank}": f"{percent:.2g} % (little up to {little:g} %)",
            "spread of phi' now": f"{self.derivative_spread:.2g}",
            "spread of phi' at the linear fit": (
                f"{self.later_spread:.2g} (weak to {WEAK:g}, strong from {STRONG:g})"
            ),
            "sigma_max / sigma_min of hidden weights": ", ".join(conditions),
            "S_big is": self.expectation,
        }
        if self.balanced:
            lines["cross-entropy with softmax"] = (
                "rank K-1 at most where phi is linear; the K-th direction is of the tail"
                f" (sigma_{{K+1}} / sigma_K = {self._ratio(self.classes):.2g})"
            )
        return "\n".join(f"{name:45} {value}" for name, value in lines.items())

    def plot(self, path: Path | str) -> None:
        """Draw the decay of the first gradient's singular values to a file, such as a PNG; it needs
        matplotlib.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.25, 2.2), layout="constrained")
        axes = figure.subplots()
        numbers = range(1, len(self.singular_values) + 1)
        axes.semilogy(numbers, self.singular_values, "o", markersize=3)
        axes.axvline(self.gradient_rank + 0.5, color="0.6", linewidth=0.8)
        axes.set(xlabel="$i$", ylabel=r"$\sigma_i(G_1(0))$", title=f"$K = {self.classes}$")
        figure.savefig(path, dpi=150)

    def _ratio(self, rank: int) -> float:
        """Return the singular value behind a rank relative to the one at it, 0 if there is none."""
        if len(self.singular_values) <= rank:
            return 0.0
        last, further = self.singular_values[rank - 1 : rank + 1]
        return further / last if last else 0.0

    @property
    def _rank_symbol(self) -> str:
        return "K-1" if self.balanced else "K"


def subspace_report(
    model: nn.Module, loss: Loss, *, at: str = "", plot: Path | str | None = None
) -> SubspaceReport:
    """Return, and print, what the theory says of an MLP, or of the part of `model` at the path
    `at`, before training.

    `loss` returns the loss of the model on one batch, with samples of every class; it is called
    once, and leaves no trace. `plot` names a file for a picture. Raises UserError as `low_rank`
    does for a model that is not a chain of layers, an invalid loss, or a first layer of zeros; and
    if its activation is not one function of every entry.
    """
    chain = chain_of(submodule(model, at))
    require_nonzero_weight(chain)
    number, like = _activated(chain), chain.layers[0].weight
    activation = _activation(chain, number)
    with buffers_kept(model, loss):
        gradient, pre_activations = _gradient_and_pre_activations(chain, loss, number)
    weights = [in_float64(layer.weight.detach()) for layer in chain.hidden]
    report = SubspaceReport(
        classes=chain.classes,
        dimension=chain.dimension,
        widths=tuple(layer.out_features for layer in chain.hidden),
        singular_values=tuple(torch.linalg.svdvals(in_float64(gradient.values)).tolist()),
        derivative_spread=_spread(activation, pre_activations, like),
        later_spread=_spread(activation, _normal_quantiles(), like),
        conditions=tuple(map(_condition, weights)),
        spread_of_start=spread_of_start(like),
        at_zero=float(activation(like.new_zeros(1, 1)).detach()),
        balanced=gradient.balanced,
    )
    print(report)
    if plot is not None:
        report.plot(plot)
    return report


def _activated(chain: Chain) -> int:
    """Return the number of the first hidden layer that an activation follows, or else 1."""
    for number, modules in enumerate(chain.after[:-1], start=1):
        if not all(isinstance(module, NORMALIZATION) for module in modules):
            return number
    return 1


def _gradient_and_pre_activations(
    chain: Chain, loss: Loss, number: int
) -> tuple[FirstGradient, Tensor]:
    """Return G_1 and the entries of layer `number`'s outputs, which one call of the loss gives."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach().flatten().clone())  # the activation may overwrite it

    hook = chain.layers[number - 1].register_forward_hook(keep)
    try:
        gradient = loss_gradient(chain, loss)
    finally:
        hook.remove()
    return gradient, torch.cat(seen)


def _normal_quantiles() -> Tensor:
    """Return numbers, float64, distributed like normal pre-activations of size `SCALE`."""
    probabilities = (torch.arange(10_000, dtype=torch.float64, device="cpu") + 0.5) / 10_000
    return SCALE * torch.special.ndtri(probabilities)


def _condition(weight: Tensor) -> float:
    values = torch.linalg.svdvals(weight)
    return float(values[0] / values[-1])


def _activation(chain: Chain, number: int) -> nn.Sequential:
    """Return phi, which follows layer `number`, in evaluation.

    A normalization of the only hidden layer is not part of it. Raises UserError for anything else
    that is not one function of every entry.
    """
    activation = nn.Sequential()
    for module in chain.after[number - 1]:
        if is_elementwise(module, chain.layers[0].weight):
            activation.append(copy_of(module))
        elif not isinstance(module, NORMALIZATION):
            raise UserError(
                f"{name_of(module)} after layer {number} is not one function of every entry, so"
                " phi' is not defined; take an elementwise activation, such as PReLU with one"
                " slope, and for normalization a module, such as nn.LayerNorm"
            )
    return activation.eval()


@torch.enable_grad()
def _spread(activation: nn.Module, values: Tensor, like: Tensor) -> float:
    """Return the distance of phi' at some values from a constant, relative to its norm, computed in
    the dtype and on the device of `like`.
    """
    inputs = values.to(like.dtype).to(like.device).unsqueeze(-1).requires_grad_()
    outputs = activation(inputs.clone())  # it may work in place
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    slope = in_float64(gradient)
    distance = torch.linalg.vector_norm(slope - slope.mean())
    return float(distance / torch.linalg.vector_norm(slope))
