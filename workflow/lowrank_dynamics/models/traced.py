"""What a traced model computes between two of its layers, as modules that may stand in another
network.
"""

from itertools import groupby, pairwise
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from lowrank_dynamics.errors import UserError

NAMED: dict[Any, type[nn.Module]] = {
    functional.elu: nn.ELU,
    functional.gelu: nn.GELU,
    functional.leaky_relu: nn.LeakyReLU,
    functional.silu: nn.SiLU,
    **dict.fromkeys((functional.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((functional.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    **dict.fromkeys((functional.tanh, torch.tanh, "tanh"), nn.Tanh),
}
"""Functions that torch has as modules too, whose options have the same names; methods by their
names.
"""


def as_modules(mlp: nn.Module, piece: list[fx.Node]) -> list[nn.Module]:
    """Return what a piece computes of its first node: the modules of `mlp` in a row, and functions
    as modules too.
    """
    source, *nodes = piece
    if not _is_row(piece):
        return [_traced(mlp, source, nodes)]
    modules: list[nn.Module] = []
    for exists, group in groupby(nodes, key=_has_module):
        row = list(group)
        if exists:
            modules += [_module_of(mlp, node) for node in row]
        else:
            modules.append(_traced(mlp, row[0].all_input_nodes[0], row))
    return modules


def _is_row(piece: list[fx.Node]) -> bool:
    """Return whether each node takes the one before it and nothing else."""
    return all(node.all_input_nodes == [before] for before, node in pairwise(piece))


def name_of(module: nn.Module) -> str:
    """Return what an error calls a module: its class, or the functions that it was traced to."""
    if not isinstance(module, fx.GraphModule):
        return type(module).__name__
    calls = [str(node) for node in module.graph.nodes if node.op.startswith("call_")]
    return ", ".join(calls)


def _has_module(node: fx.Node) -> bool:
    """Return whether a step is a module, or a function that torch has as a module."""
    if node.op == "call_module" or node.target is functional.dropout:
        return True
    return node.target in NAMED and len(node.args) == 1


def _module_of(mlp: nn.Module, node: fx.Node) -> nn.Module:
    """Return the module of such a step, which changes no input; a function's has its options, such
    as a slope.

    A function `dropout` becomes a module, because it would be fixed in the mode that it was traced
    in.
    """
    if node.op == "call_module":
        return mlp.get_submodule(str(node.target))
    if node.target is functional.dropout:
        return nn.Dropout(_probability(*node.args, **node.kwargs))
    options = dict(node.kwargs)
    options.pop("inplace", None)
    return NAMED[node.target](**options)


def _probability(inputs: Any, p: Any = 0.5, training: Any = True, inplace: Any = False) -> float:
    """Return the probability in a call of torch's function `dropout`."""
    del inputs, training, inplace
    return float(p)


def _traced(mlp: nn.Module, source: fx.Node, nodes: list[fx.Node]) -> nn.Module:
    """Return a module that computes some nodes, of which the last is its output, from that of
    `source`.
    """
    if any(node.target is functional.dropout for node in nodes):
        raise UserError(
            f"the function dropout after {source} is combined with other steps; make it an"
            " nn.Dropout"
        )
    graph = fx.Graph()
    copies = {source: graph.placeholder("inputs")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[nodes[-1]])
    return fx.GraphModule(mlp, graph)
