"""What is measured while a network trains, one concept a module.

To add an observable, write a class with `is_due` and `measure`, and its line in `CellRun.observers` in `cells.py`.
"""

from lowrank_dynamics.observables.block_shares import BlockShares
from lowrank_dynamics.observables.curves import LossAndAccuracy
from lowrank_dynamics.observables.first_gradient import FirstGradient
from lowrank_dynamics.observables.gradient_spectrum import GradientSpectrum
from lowrank_dynamics.observables.observer import Iterate, Observation, Observer
from lowrank_dynamics.observables.singular_structure import SingularStructure

__all__ = [
    "BlockShares",
    "FirstGradient",
    "GradientSpectrum",
    "Iterate",
    "LossAndAccuracy",
    "Observation",
    "Observer",
    "SingularStructure",
]
