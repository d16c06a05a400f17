"""The formulas stand alone, and agree with one another."""

import ast
from pathlib import Path

import numpy as np

from independent import formulas
from independent.cases import Shape, assert_agree, drawn


def test_the_formulas_import_neither_torch_nor_the_package() -> None:
    imported = []
    for node in ast.walk(ast.parse(Path(formulas.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [name.name for name in node.names]
        if isinstance(node, ast.ImportFrom):
            imported.append("." * node.level + (node.module or ""))
    assert sorted(imported) == ["collections.abc", "math", "numpy", "numpy.typing", "typing"]


def test_backpropagation_through_two_layers_is_the_formula_of_section_3() -> None:
    case = drawn(Shape((12, 15), 3), 0)
    first, last = case.weights
    for phi in formulas.ACTIVATIONS.values():
        pull = formulas.residual(formulas.mlp([first, last], phi, case.inputs), case.targets)
        gradient, _ = formulas.mlp_gradients([first, last], phi, case.inputs, pull)
        direct = formulas.two_layer_gradient(first, last, phi, case.inputs, case.targets)
        assert_agree(gradient, direct)


def test_s_big_is_the_span_of_its_two_halves() -> None:
    """The projector leaves R_{1,1}(0) and W_1(0)' L_{1,1}(0) as they are, and has trace 2K."""
    case = drawn(Shape((12, 15), 3), 0)
    gradient = np.random.default_rng(0).standard_normal((15, 12))
    big = formulas.s_big(case.weights[0], gradient, 3, 1.0)
    left, _, right_t = np.linalg.svd(gradient)
    for half in (right_t[:3].T, case.weights[0].T @ left[:, :3]):
        assert_agree(big @ half, half)
    assert_agree(np.trace(big), 6)
