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
    if any(node.all_input_nodes != [one] for one, node in pairwise(piece)):
        return [_module(mlp, source, nodes)]
    found: list[nn.Module] = []
    for kind, run in groupby(nodes, key=_kind):
        row = list(run)
        if kind == "module":
            found += [mlp.get_submodule(str(node.target)) for node in row]
        elif kind == "named":
            found += [_named(node) for node in row]
        elif kind == "dropout":
            found += [nn.Dropout(_probability(*node.args, **node.kwargs)) for node in row]
        else:
            found.append(_module(mlp, row[0].all_input_nodes[0], row))
    return found


def name_of(module: nn.Module) -> str:
    """Return what an error calls a module: its class, or the functions that it was traced to."""
    if not isinstance(module, fx.GraphModule):
        return type(module).__name__
    return ", ".join(str(node) for node in module.graph.nodes if node.op.startswith("call_"))


def _kind(node: fx.Node) -> str:
    """Return how a step becomes a module; a function `dropout` would be fixed in the mode that it
    was traced in.
    """
    if node.op == "call_module":
        return "module"
    if node.target is functional.dropout:
        return "dropout"
    return "named" if node.target in NAMED and len(node.args) == 1 else "function"


def _named(node: fx.Node) -> nn.Module:
    """Return torch's own module for a call of a function, with its options, such as a slope; it
    changes no input.
    """
    return NAMED[node.target](
        **{name: value for name, value in node.kwargs.items() if name != "inplace"}
    )


def _probability(inputs: Any, p: Any = 0.5, training: Any = True, inplace: Any = False) -> float:
    """Return the probability in a call of torch's function `dropout`."""
    del inputs, training, inplace
    return float(p)


def _module(mlp: nn.Module, source: fx.Node, nodes: list[fx.Node]) -> nn.Module:
    """Return a module that computes some nodes, of which the last is its output, from that of
    `source`.
    """
    if any(_kind(node) == "dropout" for node in nodes):
        raise UserError(
            f"the function dropout after {source} is not in a row with the layers; make it an"
            " nn.Dropout"
        )
    graph = fx.Graph()
    copies = {source: graph.placeholder("inputs")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[nodes[-1]])
    return fx.GraphModule(mlp, graph)
