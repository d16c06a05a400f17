"""Singular values of the hidden weights, and how far their singular subspaces have moved (figures 1, 2, 8-10)."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.models.subspaces import principal_angles, sine_distance
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation


class SingularStructure:
    """Singular values of the hidden weights, and how far their singular subspaces have moved (figures 1, 2, 8-10).

    The top-K, the middle d-2K and the bottom-K left and right singular subspaces are compared with those of a
    reference: the first iterate whose three groups of singular values are separated. The initial weights cannot be
    it, because an orthogonal matrix has all singular values equal and no subspaces of its own.
    """

    groups = ("top", "middle", "bottom")
    separated = 1e-9
    """The gap between two groups, relative to the largest singular value, from which they count as separated."""

    def __init__(self, every: int, classes: int) -> None:
        self.every = every
        self.classes = classes
        self._references: dict[int, dict[str, Tensor]] = {}
        self._found: dict[int, Tensor] = {}

    @classmethod
    def observing(cls, every: int, start: Start) -> Self:
        """Return the observer of a training from its `start`."""
        return cls(every, start.data.train.classes)

    @property
    def state(self) -> dict[str, Any]:
        """The references by layer, and which trials have theirs."""
        return {"references": self._references, "found": self._found}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._references, self._found = state["references"], state["found"]

    def is_due(self, step: int) -> bool:
        """Return whether to measure at this step: at every one until each trial has its reference."""
        return step % self.every == 0 or not all(bool(found.all()) for found in self._found.values())

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield the `singular_value` of each hidden layer, descending, and the movement of its subspaces."""
        assert isinstance(iterate.network, MLP)
        yield from self.of(iterate.network.hidden_weights)

    def of(self, weights: Sequence[Tensor]) -> Iterator[Observation]:
        """Yield the same of hidden weights, each (trials, m, n)."""
        for layer, weight in enumerate(weights, start=1):
            left, values, right_t = torch.linalg.svd(weight, full_matrices=False)
            yield Observation("singular_value", layer, values)
            subspaces = {
                f"{side}_{group}": basis
                for side, vectors in (("left", left), ("right", right_t.mT))
                for group, basis in zip(self.groups, self._split(vectors), strict=True)
            }
            self._update_reference(layer, values, subspaces)
            yield from self._movement(layer, subspaces)

    def _split(self, vectors: Tensor) -> tuple[Tensor, ...]:
        k, count = self.classes, vectors.shape[-1]
        return vectors.split([k, count - 2 * k, k], dim=-1)

    def _update_reference(self, layer: int, values: Tensor, subspaces: dict[str, Tensor]) -> None:
        """Take the iterate as reference in the trials that have none yet and whose three groups are separated."""
        k, largest = self.classes, values[:, 0]
        gaps = torch.minimum(values[:, k - 1] - values[:, k], values[:, -k - 1] - values[:, -k])
        found = self._found.setdefault(layer, torch.zeros_like(largest, dtype=torch.bool))
        new = ~found & (gaps > self.separated * largest)
        reference = self._references.setdefault(
            layer, {name: torch.zeros_like(basis) for name, basis in subspaces.items()}
        )
        for name, basis in subspaces.items():
            reference[name][new] = basis[new]
        found |= new

    def _movement(self, layer: int, subspaces: dict[str, Tensor]) -> Iterator[Observation]:
        """Yield the largest principal angle and ||sin Theta||_2 / sqrt(dimension); both NaN before the reference."""
        unknown = ~self._found[layer]
        for name, basis in subspaces.items():
            reference = self._references[layer][name]
            angle = principal_angles(reference, basis)[:, -1].masked_fill(unknown, torch.nan)
            sine = sine_distance(reference, basis).masked_fill(unknown, torch.nan)
            yield Observation(f"angle_{name}", layer, angle)
            yield Observation(f"sine_{name}", layer, sine / basis.shape[-1] ** 0.5)
