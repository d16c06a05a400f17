"""What the figures show, measured while a model of your own trains: block shares, spectra, movement
of subspaces.

The measurements go to the same Parquet schema as those of the workflow, so that its readers take
them.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.config.registries import ACTIVATIONS
from lowrank_dynamics.config.settings import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.chain import Chain, chain_of, part_of
from lowrank_dynamics.models.first_gradient import Loss
from lowrank_dynamics.models.low_rank import big_basis
from lowrank_dynamics.models.subspaces import LayerBases, block_shares_by_norms, layer_bases
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.metrics import Measurement, Metrics
from lowrank_dynamics.storage.provenance import watch_origin
from lowrank_dynamics.training.observables.observer import Observation
from lowrank_dynamics.training.observables.singular_structure import References, singular_structure

RESERVED = ("block_share", "singular_value", "sine_", "angle_")
"""How the names of what a watch measures begin."""
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
    of rank below K; and where a layer has no more than 2K singular values, for then there is no
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
        self._chain = chain_of(part_of(model, at))
        hidden = range(1, len(self._chain.layers))
        if isinstance(layers, int):
            raise UserError(f"layers must be a collection, such as [{layers}]; it is {layers}")
        self._layers = sorted(set(hidden if layers is None else layers))
        if unknown := [
            each for each in self._layers if each not in hidden or not isinstance(each, Integral)
        ]:
            raise UserError(f"there is no hidden layer {unknown[0]}; there are 1 to {len(hidden)}")
        if not self._layers:
            raise UserError("layers is empty; leave it out to watch all hidden ones")
        if others := [name for name in quantities if name not in get_args(Quantity)]:
            raise UserError(
                f"there is no quantity {others[0]!r} to watch; choose of"
                f" {', '.join(get_args(Quantity))}"
            )
        self._started = datetime.now(UTC)
        self._recorded: list[Measurement] = []
        self._blocks = self._defined_blocks(loss) if "block_shares" in quantities else {}
        self._references: References | None = {} if "singular_structure" in quantities else None
        if self._references is not None:
            self._require_three_groups()

    @torch.no_grad()
    def record(self, step: int, **values: float) -> None:
        """Measure the weights as they are after `step` steps; `values` are further quantities then,
        such as a loss.

        Raises UserError, and records nothing, for an invalid step, one that was recorded, and names
        that are taken.
        """
        self._require_new(step, values)
        step = int(step)  # also where it is one of numpy's
        observations = [
            Observation(name, 0, torch.tensor([value], dtype=torch.float64))
            for name, value in values.items()
        ]
        for layer in self._layers:
            weight = self._weight(layer)
            if self._references is not None:
                observations += singular_structure(
                    layer, weight, self._chain.classes, self._references
                )
            if layer in self._blocks:
                initial, bases = self._blocks[layer]
                observations.append(
                    Observation(
                        "block_share", layer, block_shares_by_norms(weight - initial, bases)
                    )
                )
        present = np.ones(1, dtype=bool)
        self._recorded += [
            Measurement(step, layer, quantity, measured.double().cpu().numpy(), present)
            for quantity, layer, measured in observations
        ]

    def _require_new(self, step: int, values: Mapping[str, float]) -> None:
        if isinstance(step, bool) or not isinstance(step, Integral) or step < 0:
            raise UserError(f"a step is a whole number from 0 on; it is {step!r}")
        if any(row.step == step for row in self._recorded):
            raise UserError(f"step {step} was recorded before; record each step once")
        for name, value in values.items():
            if name.startswith(RESERVED):
                raise UserError(
                    f"{name} is a name of the watch's own quantities; give yours another"
                )
            if not isinstance(value, int | float):
                raise UserError(
                    f"{name} must be a number; it is a {type(value).__name__}, of which float(...)"
                    " makes one"
                )

    def metrics(
        self, experiment: str = "watched", *, variant: str = BASE, trial: int = 0
    ) -> Metrics:
        """Return what was recorded as a tidy table of the workflow's schema; arguments are values
        of its columns.
        """
        if not self._recorded:
            raise UserError("nothing was recorded; call record(step) while the model trains")
        cell = Cell(self._activation(), "full", variant)
        table = metrics.table(experiment, cell, self._recorded)
        position = table.schema.get_field_index("trial")
        numbered = table.set_column(
            position, table.schema.field(position), pa.array([trial] * len(table), pa.int32())
        )
        return Metrics(numbered, {cell.name: watch_origin(experiment, variant, self._started)})

    def write(
        self, path: Path | str, experiment: str = "watched", *, variant: str = BASE, trial: int = 0
    ) -> None:
        """Write what was recorded to a Parquet file; an interrupted write leaves no file."""
        metrics.write(self.metrics(experiment, variant=variant, trial=trial), Path(path))

    def _activation(self) -> str:
        """Return the name of what follows the first layer: that of `ACTIVATIONS`, or else that of
        its class.
        """
        used = next(iter(self._chain.after[0]), nn.Identity())
        named = {
            activation.target.rpartition(":")[2]: name for name, activation in ACTIVATIONS.items()
        }
        return named.get(type(used).__name__, type(used).__name__)

    def _weight(self, layer: int) -> Tensor:
        """Return the weight of a layer, float64, (1, m, n) like a stack of one trial."""
        return self._chain.hidden[layer - 1].weight.detach().double().unsqueeze(0)

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
        hidden = [layer.weight.detach().double() for layer in self._chain.hidden[:last]]
        bases = layer_bases(hidden, big_basis(self._chain, loss))
        stacked = [LayerBases(*(basis.unsqueeze(0) for basis in each)) for each in bases]
        return {layer: (self._weight(layer).clone(), stacked[layer - 1]) for layer in self._layers}

    def _require_three_groups(self) -> None:
        for layer in self._layers:
            rows, columns = self._chain.hidden[layer - 1].weight.shape
            if min(rows, columns) <= 2 * self._chain.classes:
                raise UserError(
                    f"layer {layer} has {min(rows, columns)} singular values, which leaves no"
                    f" middle group between the top and the bottom K = {self._chain.classes}"
                )


def _require_width(chain: Chain, last: int) -> None:
    """Require that the layers 1 to `last` can map p = d - 2K dimensions to as many outside block 1.

    W_1 V_{1,2} is orthogonal to the K directions L_{1,1}, so the first layer needs K units more.
    """
    d, k = chain.dimension, chain.classes
    for number, layer in enumerate(chain.hidden[:last], start=1):
        needed, name = (d - k, "d - K") if number == 1 else (d - 2 * k, "d - 2K")
        if layer.out_features < needed:
            raise UserError(
                f"block shares are not defined in layer {number}: it has {layer.out_features}"
                f" units, fewer than {name} = {needed}; watch singular_structure there"
            )
