"""What our findings measure is what was planted: slopes over variants, tails against beta eps,
operations.
"""

import numpy as np
import pytest

from conftest import planted, row
from lowrank_dynamics.analysis.measures import MEASURES
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.networks import start_operations, step_operations
from lowrank_dynamics.storage.metrics import Metrics


def over_width(power: float, rest: float = 0.5) -> Metrics:
    """Return shares of block 1 whose rest is a power of the width, at widths of 14, 28 and 56."""
    found = planted(
        {
            Cell("elu", "full", f"m_{width}"): [
                row(0, "block_share", [[1 - rest * (width / 14) ** power]] * 3)
            ]
            for width in (14, 28, 56)
        }
    )
    cells = {}
    for name, cell in found.cells.items():
        assert cell.settings
        network = cell.settings.network.model_copy(update={"width": int(cell.variant[2:])})
        cells[name] = cell.model_copy(
            update={"settings": cell.settings.model_copy(update={"network": network})}
        )
    return Metrics(found.table, cells)


@pytest.mark.parametrize("power", [-2.0, -1.0, 0.0])
def test_the_slope_of_the_rest_is_the_power(power: float) -> None:
    options = {"quantity": "block_share", "setting": "network.width", "index": 1}
    slopes = MEASURES["slope_over_variants"](over_width(power), **options, scale="log_rest")
    assert len(slopes) == 3
    np.testing.assert_allclose(slopes["value"], power, atol=1e-12)
    less = MEASURES["slope_over_variants"](
        over_width(power), **options, scale="log_rest", variants=["m_14", "m_56"], expected=power
    )
    np.testing.assert_allclose(less["value"], 0, atol=1e-12)


def test_a_tail_of_the_product_has_slope_one_and_no_spread() -> None:
    eps = [0.1, 0.01]
    cells = {
        Cell(f"swish_{beta:g}", "full"): [
            row(0, "gradient_tail", [[0.013 * beta * each for each in eps]] * 3)
        ]
        for beta in (0.1, 1, 10)
    }
    cells[Cell("relu", "full")] = [row(0, "gradient_tail", [[0.4, 0.4]] * 3)]
    metrics = planted(cells, observe__start_eps=eps)
    np.testing.assert_allclose(MEASURES["tail_slope"](metrics, up_to=1.0)["value"], 0, atol=1e-12)
    np.testing.assert_allclose(MEASURES["tail_spread"](metrics, up_to=1.0)["value"], 1)


def test_ratios_are_of_the_same_step() -> None:
    rows = [row(t, "curvature", [t + 1.0]) for t in range(3)] + [
        row(t, "curvature_bound", [4.0 - t]) for t in range(3)
    ]
    metrics = planted({Cell("elu", "full"): rows})
    assert MEASURES["largest_ratio"](metrics, quantity="curvature", bound="curvature_bound")[
        "value"
    ].tolist() == [1.5]
    assert MEASURES["admissible_step"](metrics)["value"].tolist() == [0.04]


def test_operations_are_those_of_the_matrix_products() -> None:
    """Of the small experiment: d = 12, m = 14, L = 3, K = 3, r = 6, N = 48."""
    settings = planted({Cell("elu", "full"): [row(0, "loss", [1.0])]}).settings
    full = 2 * 48 * (2 * 12 * 14 + 3 * 14 * 14 + 3 * 3 * 14)
    low = 2 * 48 * (2 * 12 * 6 + 2 * 3 * 6 * 6 + 3 * 6 * 14 + 3 * 3 * 14)
    frozen = (
        2 * 48 * (12 * 14 + 2 * 14 * 14 + 2 * 12 * 6 + 3 * 14 * 6 + 2 * 3 * 14 * 6 + 3 * 3 * 14)
    )
    assert [step_operations(settings, name) for name in ("full", "s_big", "adapters")] == [
        full,
        low,
        frozen,
    ]
    assert [start_operations(settings, name) for name in ("s_big", "gradient", "random")] == [
        full,
        full,
        0,
    ]
    curves = {"full": (0.1, 0.5, 1.0), "s_big": (0.1, 0.95, 0.95), "random": (0.1, 0.1, 0.1)}
    cells = {
        Cell("elu", name): [
            row(10 * t, "accuracy", [value], layer=0) for t, value in enumerate(values)
        ]
        for name, values in curves.items()
    }
    found = MEASURES["operations_to_reach"](
        planted(cells), quantity="accuracy", fraction=0.9, of={"parameterization": "full"}
    ).set_index("parameterization")["value"]
    assert found["s_big"] == pytest.approx((full + 10 * low) / (20 * full))
    assert found["random"] == pytest.approx(low / full)
