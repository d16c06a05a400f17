"""How weights have moved: the number of directions of a change, and the movement of singular
subspaces.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lowrank_dynamics.models.subspaces import principal_angles, sine_distance

HELD = 0.99
"""The part of the squared Frobenius norm of a change that its directions must hold."""
SEPARATED = 1e-9
UNITS = 100
"""The gap between two groups, relative to the largest singular value, from which they count as
separated; at least so many units of the precision in which the weight is stored, because gaps of
rounding are no gaps. Half precision has no two digits to spare: there it is one unit.
"""
GROUPS = ("top", "middle", "bottom")
HAS_REFERENCE = "has_reference"

References = dict[tuple[int, str], Tensor]
"""By layer and name the bases of the reference, zero before there is one, and, as `HAS_REFERENCE`,
which trials have one.
"""


def directions(change: Tensor) -> Tensor:
    """Return how many singular values hold 99 % of the squared norm of W_l(t) - W_l(0): (trials,),
    NaN of 0.

    `change` is (trials, m, n).
    """
    energies = torch.linalg.svdvals(change).square()
    sums = energies.cumsum(dim=-1)
    totals = sums[..., -1:]
    missing = (sums < HELD * totals).sum(dim=-1)
    return (missing + 1.0).masked_fill(totals.squeeze(-1) == 0, torch.nan)


def singular_structure(
    layer: int,
    weight: Tensor,
    k: int,
    references: References,
    *,
    may_be_reference: bool = True,
    stored_in: torch.dtype | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield quantities and their values (trials,) or (trials, n) of one layer's weight (trials, m,
    n), which becomes the reference where there is none, if it may.

    The top-k, the middle and the bottom-k left and right singular subspaces are compared with those
    of the reference: the first weight whose three groups of singular values are separated. The
    initial weight cannot be it, because an orthogonal matrix has all singular values equal, and no
    singular subspaces. `stored_in` is the dtype that a weight had before it was converted. All are
    NaN for a weight that is not finite.

    `singular_value`, descending; `subspace_gap`, those below the top k and above the bottom k,
    relative to the largest singular value; for each subspace the largest principal angle, such as
    `angle_left_top`, and ||sin Theta||_2 / sqrt(dimension), such as `sine_left_top`, NaN before the
    reference.
    """
    diverged = ~weight.isfinite().flatten(1).all(dim=1)
    finite = weight.masked_fill(diverged.view(-1, 1, 1), 0)
    left, values, right_t = torch.linalg.svd(finite, full_matrices=False)
    yield "singular_value", values.masked_fill(diverged.unsqueeze(-1), torch.nan)
    gaps = _gaps(values, k)
    largest = values[:, :1]
    yield "subspace_gap", gaps / largest
    rounding = _gap_of_rounding(stored_in or weight.dtype)
    separated = (gaps > max(SEPARATED, rounding) * largest).all(dim=-1) & may_be_reference
    has_reference = references.setdefault((layer, HAS_REFERENCE), torch.zeros_like(separated))
    new = separated & ~has_reference
    has_reference |= new
    undefined = ~has_reference | diverged
    sizes = [k, values.shape[-1] - 2 * k, k]
    for side, vectors in (("left", left), ("right", right_t.mT)):
        for group, basis in zip(GROUPS, vectors.split(sizes, dim=-1), strict=True):
            name = f"{side}_{group}"
            reference = references.setdefault((layer, name), torch.zeros_like(basis))
            reference[new] = basis[new]
            angle = principal_angles(reference, basis)[:, -1]
            sine = sine_distance(reference, basis) / basis.shape[-1] ** 0.5
            yield f"angle_{name}", angle.masked_fill(undefined, torch.nan)
            yield f"sine_{name}", sine.masked_fill(undefined, torch.nan)


def _gap_of_rounding(dtype: torch.dtype) -> float:
    """Return the gap that may be one of rounding, relative to the largest singular value."""
    precision = torch.finfo(dtype)
    return precision.eps if precision.bits < 32 else UNITS * precision.eps


def _gaps(values: Tensor, k: int) -> Tensor:
    """Return the gaps (trials, 2) between singular values (trials, n) below the top k and above the
    bottom k.
    """
    below_top = values[:, k - 1] - values[:, k]
    above_bottom = values[:, -k - 1] - values[:, -k]
    return torch.stack([below_top, above_bottom], dim=-1)
