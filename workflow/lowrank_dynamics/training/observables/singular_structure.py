"""Singular values of the hidden weights, and how far their singular subspaces have moved (figures
1, 2, 8-10).

The top-K, the middle d-2K and the bottom-K left and right singular subspaces are compared with
those of a reference: the first iterate whose three groups of singular values are separated. The
initial weights cannot be it, because an orthogonal matrix has all singular values equal and no
subspaces of its own.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lowrank_dynamics.models.networks import MLP
from lowrank_dynamics.models.subspaces import principal_angles, sine_distance
from lowrank_dynamics.training.build import Start
from lowrank_dynamics.training.observables.observer import Iterate, Observation, Observer

GROUPS = ("top", "middle", "bottom")
SEPARATED = 1e-9
"""The gap between two groups, relative to the largest singular value, from which they count as
separated.
"""
FOUND = "found"

References = dict[tuple[int, str], Tensor]
"""By layer and name the bases of the reference, zero before there is one, and, as `FOUND`, which
trials have one.
"""


class SingularStructure(Observer):
    """Measures the singular structure of each hidden layer: at every step until each trial has its
    reference.
    """

    def __init__(self, every: int, start: Start) -> None:
        super().__init__(every)
        self.classes = start.data.train.classes

    def is_due(self, step: int, *, last: bool) -> bool:
        """Return whether to measure at this step."""
        found = [tensor for (_, name), tensor in self.state.items() if name == FOUND]
        return super().is_due(step, last=last) or not all(bool(trials.all()) for trials in found)

    def measure(self, iterate: Iterate) -> Iterator[Observation]:
        """Yield the `singular_structure` of each hidden layer.

        At a step at which it is measured for the sake of trials without a reference it is NaN in
        all others, so that no trial has other rows than it has alone.
        """
        assert isinstance(iterate.network, MLP)
        ordinary = super().is_due(iterate.step, last=iterate.last)
        for layer, weight in enumerate(iterate.network.hidden_weights, start=1):
            before = self.state.get(
                (layer, FOUND), torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
            )
            extra = before.clone() & (not ordinary)
            for quantity, place, values in singular_structure(
                layer, weight, self.classes, self.state
            ):
                rows = extra.view(-1, *[1] * (values.ndim - 1))
                yield Observation(quantity, place, values.masked_fill(rows, torch.nan))


def singular_structure(
    layer: int, weight: Tensor, k: int, references: References
) -> Iterator[Observation]:
    """Yield what is measured of one layer's weight (trials, m, n), which becomes the reference
    where there is none.

    `singular_value`, descending; for each subspace the largest principal angle, such as
    `angle_left_top`, and ||sin Theta||_2 / sqrt(dimension), such as `sine_left_top`, NaN before the
    reference.
    """
    left, values, right_t = torch.linalg.svd(weight, full_matrices=False)
    yield Observation("singular_value", layer, values)
    sizes = [k, values.shape[-1] - 2 * k, k]
    gaps = torch.minimum(values[:, k - 1] - values[:, k], values[:, -k - 1] - values[:, -k])
    separated = gaps > SEPARATED * values[:, 0]
    found = references.setdefault((layer, FOUND), torch.zeros_like(separated))
    new = separated & ~found
    found |= new
    for side, vectors in (("left", left), ("right", right_t.mT)):
        for group, basis in zip(GROUPS, vectors.split(sizes, dim=-1), strict=True):
            reference = references.setdefault((layer, f"{side}_{group}"), torch.zeros_like(basis))
            reference[new] = basis[new]
            angle = principal_angles(reference, basis)[:, -1].masked_fill(~found, torch.nan)
            sine = sine_distance(reference, basis).masked_fill(~found, torch.nan)
            yield Observation(f"angle_{side}_{group}", layer, angle)
            yield Observation(f"sine_{side}_{group}", layer, sine / basis.shape[-1] ** 0.5)
