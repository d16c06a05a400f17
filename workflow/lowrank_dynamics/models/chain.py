"""Your own MLP, however it is written, as the chain of layers that the theory is about.

The model is traced by torch.fx. Between two of its layers there may be any elementwise function of
the first one's output: a low-rank MLP has other units there.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.no_trace import leaving_no_trace
from lowrank_dynamics.models.steps import as_modules, name_of

NORMALIZATION = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)
WITH_WEIGHTS = (*NORMALIZATION, nn.PReLU)
"""Modules that may have weights: they stay as they are."""
WAY_OUT = 'name the part of the model that is an MLP, such as at="classifier"'


class Chain(NamedTuple):
    """The parts of an MLP: what comes before the first layer, the layers, what follows each of
    them.
    """

    before: list[nn.Module]
    layers: list[nn.Linear]
    after: list[list[nn.Module]]

    @property
    def hidden(self) -> list[nn.Linear]:
        """The layers 1 .. L-1."""
        return self.layers[:-1]

    @property
    def dimension(self) -> int:
        """d, the number of inputs."""
        return self.layers[0].in_features

    @property
    def classes(self) -> int:
        """K, the number of outputs."""
        return self.layers[-1].out_features


class _Tracer(fx.Tracer):
    """Traces any module without Linear layers as one step."""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        holds_layers = any(isinstance(each, nn.Linear) for each in module.modules())
        return isinstance(module, nn.Linear) or not (
            holds_layers or isinstance(module, nn.Sequential)
        )


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a compiled or data-parallel one. Raises UserError for anything but a
    module.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"the model must be an nn.Module; it is a {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    held = getattr(model, "_orig_mod", None)
    return unwrapped(held) if isinstance(held, nn.Module) else model


def part_of(model: nn.Module, at: str) -> nn.Module:
    """Return the part of a model at a path such as `classifier.head`, all of it at the empty one,
    not wrapped.

    Raises UserError if there is no such part.
    """
    model = unwrapped(model)
    try:
        return unwrapped(model.get_submodule(at))
    except AttributeError as error:
        names = ", ".join(name for name, _ in model.named_children())
        raise UserError(f"the model has no part {at!r}; its parts are {names}") from error


def with_part(model: nn.Module, at: str, part: nn.Module, *, inplace: bool = False) -> nn.Module:
    """Return a model with another part at a path, a copy unless `inplace`; the part itself if the
    path is empty.
    """
    if not at:
        return part
    whole = unwrapped(model) if inplace else copy.deepcopy(unwrapped(model))
    whole.set_submodule(at, part)
    return whole


def chain_of(mlp: nn.Module) -> Chain:
    """Return the parts of an MLP. Raises UserError, which names the place, if it is no chain of
    layers.
    """
    mlp = unwrapped(mlp)
    if any(isinstance(parameter, UninitializedParameter) for parameter in mlp.parameters()):
        raise UserError(
            "a lazy layer of the model has no weights yet; call the model on a batch first"
        )
    tracer = _Tracer()
    try:
        graph = tracer.trace(mlp)
    except Exception as error:  # whatever a forward does with what is no tensor
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"the forward of {type(mlp).__name__} cannot be followed ({reason}); it must not branch"
            f" on values, and is to have one input; or {WAY_OUT}"
        ) from error
    layers, pieces = _pieces(graph, dict(mlp.named_modules()))
    if len(layers) < 2:
        raise UserError(
            f"an MLP needs two Linear layers at least, and {type(mlp).__name__} has {len(layers)}"
        )
    before, *after = (as_modules(mlp, piece) for piece in pieces)
    chain = Chain(before, layers, after)
    _require_any_width(chain)
    return chain


def _pieces(
    graph: fx.Graph, modules: dict[str, nn.Module]
) -> tuple[list[nn.Linear], list[list[fx.Node]]]:
    """Return the layers, and the nodes before the first, between them, and after the last, each
    from its source on.
    """
    (output,) = (node for node in graph.nodes if node.op == "output")
    (end,) = output.args
    if not isinstance(end, fx.Node):
        raise UserError(
            f"the model returns a {type(end).__name__}, and an MLP returns one tensor; {WAY_OUT}"
        )
    layers: list[nn.Linear] = []
    pieces: list[list[fx.Node]] = []
    while True:
        nodes, source = _piece(graph, end, modules)
        pieces.append([source, *nodes])
        if source.op == "placeholder":
            return layers[::-1], pieces[::-1]
        layer = modules[str(source.target)]
        assert isinstance(layer, nn.Linear)
        _require_ordinary(layer, source, layers)
        layers.append(layer)
        (end,) = source.all_input_nodes


def _piece(
    graph: fx.Graph, end: fx.Node, modules: dict[str, nn.Module]
) -> tuple[list[fx.Node], fx.Node]:
    """Return the nodes that lead to `end`, in order, and the layer or input that they start
    from.
    """
    found, sources, open_ends = set[fx.Node](), set[fx.Node](), [end]
    while open_ends:
        node = open_ends.pop()
        if node.op == "placeholder" or isinstance(modules.get(str(node.target)), nn.Linear):
            sources.add(node)
        elif node not in found:
            _require_no_weights(node, modules)
            found.add(node)
            open_ends += node.all_input_nodes
    if len(sources) > 1:
        joined = next(
            node for node in graph.nodes if node in found and len(_reached(node, found)) > 1
        )
        names = " and ".join(sorted(str(source) for source in sources))
        raise UserError(
            f"{joined} joins {names}: a residual connection or a second input, and an MLP is a"
            " chain"
        )
    if not sources:
        raise UserError(f"{end} does not depend on the input of the model")
    return [node for node in graph.nodes if node in found], *sources  # type: ignore[return-value]


def _reached(node: fx.Node, within: set[fx.Node]) -> set[fx.Node]:
    """Return the nodes outside of `within` that a node depends on through those in it."""
    inputs = set(node.all_input_nodes)
    return (inputs - within).union(*(_reached(each, within) for each in inputs & within))


def _require_no_weights(node: fx.Node, modules: dict[str, nn.Module]) -> None:
    """Require that a step between layers has no weights, unless they are those of a normalization
    or of PReLU.
    """
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if node.op == "get_attr":
        raise UserError(
            f"{node.target} is a weight that is no layer's; only Linear layers may have weights;"
            f" {WAY_OUT}"
        )
    if module is None or isinstance(module, WITH_WEIGHTS):
        return
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        raise UserError(
            f"module {node.target} ({type(module).__name__}) has weights of its own; only Linear"
            f" layers and normalization may; {WAY_OUT}"
        )


def _require_ordinary(layer: nn.Linear, node: fx.Node, others: list[nn.Linear]) -> None:
    """Require a layer that maps x to W x + b with weights of its own."""
    named = f"module {node.target} ({type(layer).__name__})"
    if any(layer.weight is other.weight for other in others):
        raise UserError(
            f"{named} comes again, or shares its weight; each layer must have weights of its own"
        )
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        raise UserError(
            f"the weight of {named} is computed from other parameters; remove the parametrization"
            " first"
        )
    if type(layer).forward is not nn.Linear.forward:
        raise UserError(
            f"{named} is a Linear layer with a forward of its own, which no plain layer can stand"
            " in for"
        )


def _require_any_width(chain: Chain) -> None:
    """Require that what stands between hidden layers works at the width of the low-rank network,
    too.
    """
    for number, modules in enumerate(chain.after[:-2], start=1):
        for module in modules:
            if not is_elementwise(module, chain.layers[0].weight):
                raise UserError(
                    f"{name_of(module)} after layer {number} does not act on each unit by itself,"
                    " and a low-rank MLP has other units there; take it out, or put it before the"
                    " first layer or after the last hidden one"
                )
    for number, (layer, following) in enumerate(pairwise(chain.layers), start=1):
        if layer.out_features != following.in_features:
            raise UserError(
                f"layer {number} gives {layer.out_features} numbers, layer {number + 1} takes"
                f" {following.in_features}: something between them changes the width; only"
                " elementwise modules may stand there"
            )


@torch.no_grad()
def is_elementwise(module: nn.Module, like: Tensor) -> bool:
    """Return whether a module, in evaluation, keeps any shape and maps each entry alone; tried in
    `like`'s dtype.
    """
    trial = copy.deepcopy(module).eval()
    for width in (6, 5):
        inputs = torch.linspace(-1, 1, 2 * width, dtype=like.dtype, device=like.device).reshape(
            2, width
        )
        changed = inputs.clone()
        changed[0, 0] = 0.5
        try:
            with leaving_no_trace(like.device):
                outputs, others = trial(inputs), trial(changed)
        except Exception:  # a module that takes no such input raises anything
            return False
        if outputs.shape != inputs.shape:
            return False
        if not torch.allclose(outputs.flatten()[1:], others.flatten()[1:], equal_nan=True):
            return False
    return True
