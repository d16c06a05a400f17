"""What the figures show, measured while your own model trains: block shares, spectra, movement of
subspaces.

Recording needs neither settings nor the workflow; only a table of what was recorded does, which has
the same Parquet schema as the workflow's, so that its readers take it.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.big_basis import Loss, big_basis, require_values
from lowrank_dynamics.models.chain import Chain, chain_of
from lowrank_dynamics.models.movement import References, singular_structure
from lowrank_dynamics.models.no_trace import buffers_kept
from lowrank_dynamics.models.submodules import submodule
from lowrank_dynamics.models.subspaces import (
    LayerBases,
    block_shares_by_norms,
    in_float64,
    layer_bases,
)
from lowrank_dynamics.models.traced import name_of

if TYPE_CHECKING:
    from lowrank_dynamics.storage.metrics import Metrics

RESERVED = ("block_share", "singular_value", "subspace_gap", "sine_", "angle_")
"""How the names of what a watch measures begin."""
LARGEST = 2**31 - 1
"""The largest number in the table's columns of steps and trials."""
Quantity = Literal["block_shares", "singular_structure"]
CHEAP: tuple[Quantity, ...] = ("block_shares",)


class Watch:
    """Records how the hidden weights of an MLP change while it trains.

    The MLP is `model`, or the part of it at the path `at`, as `low_rank` takes it. `block_shares`
    are those of figures 3 to 5, in bases that the weights at this moment and one gradient define,
    so make it before training; `loss` returns the loss of one batch. `singular_structure` are
    singular values and the movement of singular subspaces (figures 1, 2, 8-10): a whole singular
    value decomposition of each layer at every record. `layers` are counted from 1; None for all
    hidden ones. Raises UserError for an unknown layer or quantity; where block shares are not
    defined: K >= d/2, a first layer narrower than d - K or another narrower than d - 2K, a gradient
    of rank below K; and where a layer has at most 2K singular values, because then there is no
    middle group.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None = None,
        *,
        at: str = "",
        quantities: Collection[Quantity] = CHEAP,
        layers: Collection[int] | None = None,
    ) -> None:
        self._chain = chain_of(submodule(model, at))
        require_values(self._chain)
        self._layers = _checked_layers(layers, len(self._chain.hidden))
        _require_known(quantities)
        self._started = datetime.now(UTC)
        self._recorded: dict[int, list[tuple[str, int, Tensor]]] = {}
        self._blocks: dict[int, tuple[Tensor, LayerBases]] = {}
        self._references: References | None = None
        if "block_shares" in quantities:
            with buffers_kept(model, loss):
                self._blocks = self._defined_blocks(loss)
        if "singular_structure" in quantities:
            self._references = {}
            self._require_three_groups()

    @torch.no_grad()
    def record(self, step: int, **values: float) -> None:
        """Measure the weights as they are after `step` steps; `values` are further quantities of
        that step, such as a loss.

        Raises UserError, and records nothing, for an invalid step, one that was recorded before,
        and names that are reserved.
        """
        self._require_new(step)
        _require_further(values)
        rows = []
        for name, value in values.items():
            number = torch.tensor([value], dtype=torch.float64, device="cpu")
            rows.append((name, 0, number))
        for layer in self._layers:
            for quantity, measured in self._measured(layer):
                rows.append((quantity, layer, measured.cpu()))
        self._recorded[int(step)] = rows  # the step may be one of numpy's

    def metrics(
        self, experiment: str = "watched", *, variant: str = "base", trial: int = 0
    ) -> "Metrics":
        """Return what was recorded as a tidy table of the workflow's schema; arguments are values
        of its columns. Raises UserError for an invalid trial, and if nothing was recorded.
        """
        from lowrank_dynamics.config.cell import Cell
        from lowrank_dynamics.storage.metrics import Measurement, Metrics, table
        from lowrank_dynamics.storage.provenance import CellOrigin, program

        _require_in_table("trial", trial)
        if not any(self._recorded.values()):
            raise UserError("nothing was recorded; call record(step) while the model trains")
        present = np.ones(1, dtype=bool)
        measurements = []
        for step, rows in self._recorded.items():
            for quantity, layer, values in rows:
                row = Measurement(step, layer, quantity, values.numpy(), present)
                measurements.append(row)
        cell = Cell(self._activation(), "full", variant)
        origin = CellOrigin(
            watched=experiment,
            variant=variant,
            **program(),
            started=self._started.isoformat(timespec="seconds"),
        )
        return Metrics(table(experiment, cell, measurements, trial), {cell.name: origin})

    def write(
        self,
        path: Path | str,
        experiment: str = "watched",
        *,
        variant: str = "base",
        trial: int = 0,
    ) -> None:
        """Write what was recorded to a Parquet file; an interrupted write leaves no file."""
        from lowrank_dynamics.storage import metrics

        metrics.write(self.metrics(experiment, variant=variant, trial=trial), Path(path))

    def _activation(self) -> str:
        """Return the name of what follows the first layer: that of `ACTIVATIONS`, or else those of
        its classes and functions.
        """
        from lowrank_dynamics.config.registries import ACTIVATIONS

        modules = self._chain.after[0] or [nn.Identity()]
        kinds = [name_of(module) for module in modules]
        for name, activation in ACTIVATIONS.items():
            if activation.target.rpartition(":")[2] == kinds[0]:
                return name
        return ", ".join(kinds)

    def _measured(self, layer: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the watched quantities of a layer as it is, float64: (1,) or (1, n)."""
        weight = self._weight(layer)
        if self._references is not None:
            yield from singular_structure(
                layer,
                weight,
                self._chain.classes,
                self._references,
                stored_in=self._chain.hidden[layer - 1].weight.dtype,
            )
        if layer in self._blocks:
            initial, bases = self._blocks[layer]
            yield "block_share", block_shares_by_norms(weight - initial, bases)

    def _weight(self, layer: int) -> Tensor:
        """Return the weight of a layer, float64, (1, m, n) like a stack of one trial."""
        weight = self._chain.hidden[layer - 1].weight.detach()
        return in_float64(weight).unsqueeze(0)

    def _defined_blocks(self, loss: Loss | None) -> dict[int, tuple[Tensor, LayerBases]]:
        """Return, by watched layer, the weight and the bases that the shares of a change refer
        to.
        """
        if loss is None:
            raise UserError(
                "block shares need the loss of one batch, whose gradient defines the blocks"
            )
        last = self._layers[-1]
        _require_width(self._chain, last)
        hidden = [in_float64(layer.weight.detach()) for layer in self._chain.hidden[:last]]
        bases = layer_bases(hidden, big_basis(self._chain, loss))
        blocks = {}
        for layer in self._layers:
            stacked = [basis.unsqueeze(0) for basis in bases[layer - 1]]
            blocks[layer] = self._weight(layer).clone(), LayerBases(*stacked)
        return blocks

    def _require_new(self, step: int) -> None:
        _require_in_table("step", step)
        if step in self._recorded:
            raise UserError(f"step {step} was recorded before; record each step once")

    def _require_three_groups(self) -> None:
        for layer in self._layers:
            rows, columns = self._chain.hidden[layer - 1].weight.shape
            if min(rows, columns) <= 2 * self._chain.classes:
                raise UserError(
                    f"layer {layer} has {min(rows, columns)} singular values, which leaves no"
                    f" middle group between the top and the bottom K = {self._chain.classes}"
                )


def _checked_layers(layers: Collection[int] | None, count: int) -> list[int]:
    """Return the layers to watch, ascending, of the hidden ones from 1 to `count`."""
    if layers is None:
        return list(range(1, count + 1))
    if isinstance(layers, int):
        raise UserError(f"layers must be a collection, such as [{layers}]; got {layers}")
    watched = set(layers)
    if not watched:
        raise UserError("layers is empty; omit it to watch all hidden ones")
    for layer in watched:
        if not isinstance(layer, Integral) or not 1 <= layer <= count:
            raise UserError(f"there is no hidden layer {layer}; there are 1 to {count}")
    return sorted(watched)


def _require_known(quantities: Collection[str]) -> None:
    known = get_args(Quantity)
    if isinstance(quantities, str) or not isinstance(quantities, Collection):
        raise UserError(f"quantities must be a collection, such as {list(known)}")
    for name in quantities:
        if name not in known:
            raise UserError(
                f"there is no quantity {name!r} to watch; choose from {', '.join(known)}"
            )


def _require_in_table(column: str, number: int) -> None:
    """Require a number of a step or a trial that the table can hold."""
    is_whole = isinstance(number, Integral) and not isinstance(number, bool)
    if not is_whole or not 0 <= number <= LARGEST:
        raise UserError(f"a {column} must be a whole number from 0 to {LARGEST:,}; got {number!r}")


def _require_further(values: Mapping[str, float]) -> None:
    """Require that further quantities are numbers, with names that are not reserved."""
    for name, value in values.items():
        if name.startswith(RESERVED):
            raise UserError(f"{name} is a name of the watch's own quantities; choose another name")
        if not isinstance(value, int | float):
            raise UserError(
                f"{name} must be a number; got a {type(value).__name__}, which float(...) converts"
            )


def _require_width(chain: Chain, last: int) -> None:
    """Require that the layers 1 to `last` can map p = d - 2K dimensions to as many outside block 1.

    W_1 V_{1,2} is orthogonal to the K directions L_{1,1}, so the first layer needs K units more.
    """
    d, k = chain.dimension, chain.classes
    needed, name = d - k, "d - K"
    for number, layer in enumerate(chain.hidden[:last], start=1):
        if layer.out_features < needed:
            raise UserError(
                f"block shares are not defined in layer {number}: it has {layer.out_features}"
                f" units, fewer than {name} = {needed}; watch singular_structure there"
            )
        needed, name = d - 2 * k, "d - 2K"
