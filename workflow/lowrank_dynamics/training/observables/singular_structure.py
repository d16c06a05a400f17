"""Singular values of the hidden weights, and how far their singular subspaces have moved (figures
1, 2, 8-10).
"""

from collections.abc import Iterator

import torch

from lowrank_dynamics.models.movement import HAS_REFERENCE, singular_structure
from lowrank_dynamics.storage.metrics import Measurement
from lowrank_dynamics.training.observables.observer import Iterate, Observer


class SingularStructure(Observer):
    """Measures the singular structure of each hidden layer: from the step `subspace_reference` on
    at every step until each trial has its reference, which is in `state`.
    """

    def __init__(self, every: int, *, subspace_reference: int) -> None:
        super().__init__(every)
        self.subspace_reference = subspace_reference
        self._complete = False

    def is_due(self, step: int, *, last: bool) -> bool:
        """Return whether to measure at this step."""
        may_be_reference = step >= self.subspace_reference
        seeks_reference = may_be_reference and not self._has_all_references()
        return super().is_due(step, last=last) or seeks_reference

    def measure(self, iterate: Iterate) -> Iterator[Measurement]:
        """Yield the `singular_structure` of each hidden layer.

        At a step at which it is measured for the sake of trials without a reference it is NaN in
        all others, so that no trial has other rows than it has alone.
        """
        ordinary = super().is_due(iterate.step, last=iterate.last)
        for layer, weight in enumerate(iterate.mlp.hidden_weights, start=1):
            left_out = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
            if not ordinary and (layer, HAS_REFERENCE) in self.state:
                left_out = self.state[layer, HAS_REFERENCE].clone()
            structure = singular_structure(
                layer,
                weight,
                iterate.batch.classes,
                self.state,
                may_be_reference=iterate.step >= self.subspace_reference,
            )
            for quantity, values in structure:
                rows = left_out.view(-1, *[1] * (values.ndim - 1))
                defined = values.masked_fill(rows, torch.nan)
                yield iterate.measured(quantity, layer, defined)

    def _has_all_references(self) -> bool:
        """Return whether no trial lacks a reference in a layer that was measured before; once
        true, it stays so, and the device is not asked again.
        """
        if self._complete:
            return True
        for (_, name), tensor in self.state.items():
            if name == HAS_REFERENCE and not bool(tensor.all()):
                return False
        self._complete = bool(self.state)
        return True
