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
from lowrank_dynamics.models.traced import as_modules, name_of

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
        if isinstance(module, nn.Linear):
            return True
        if isinstance(module, nn.Sequential):
            return False
        return not any(isinstance(part, nn.Linear) for part in module.modules())


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a compiled or data-parallel one. Raises UserError for anything but a
    module.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"the model must be an nn.Module; got a {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return unwrapped(compiled)
    return model


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
    whole = unwrapped(model)
    if not inplace:
        whole = copy.deepcopy(whole)
    whole.set_submodule(at, part)
    return whole


def chain_of(mlp: nn.Module) -> Chain:
    """Return the parts of an MLP. Raises UserError, which names the place, if it is not a chain of
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
    except Exception as error:  # a forward may raise anything for an fx proxy
        lines = str(error).splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(
            f"the forward of {type(mlp).__name__} cannot be traced ({reason}); it must not branch"
            f" on values, and must take exactly one input; or {WAY_OUT}"
        ) from error
    layers, pieces = _pieces(graph, dict(mlp.named_modules()))
    if len(layers) < 2:
        raise UserError(
            f"an MLP needs at least two Linear layers, and {type(mlp).__name__} has {len(layers)}"
        )
    modules = [as_modules(mlp, piece) for piece in pieces]
    chain = Chain(modules[0], layers, modules[1:])
    _require_any_width(chain)
    return chain


def _pieces(
    graph: fx.Graph, modules: dict[str, nn.Module]
) -> tuple[list[nn.Linear], list[list[fx.Node]]]:
    """Return the layers, and the nodes before the first, between them, and after the last, each
    from its source on.
    """
    output = graph.output_node()
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
    piece, sources = set[fx.Node](), set[fx.Node]()
    open_ends = [end]
    while open_ends:
        node = open_ends.pop()
        if node.op == "placeholder" or isinstance(modules.get(str(node.target)), nn.Linear):
            sources.add(node)
        elif node not in piece:
            _require_no_weights(node, modules)
            piece.add(node)
            open_ends += node.all_input_nodes
    nodes = [node for node in graph.nodes if node in piece]
    _require_one_source(nodes, sources)
    if not sources:
        raise UserError(f"{end} does not depend on the input of the model")
    return nodes, sources.pop()


def _require_one_source(nodes: list[fx.Node], sources: set[fx.Node]) -> None:
    """Require that no node, of some in the order of the graph, depends on two sources."""
    reached: dict[fx.Node, set[fx.Node]] = {source: {source} for source in sources}
    for node in nodes:
        reached[node] = set()
        for argument in node.all_input_nodes:
            reached[node] |= reached[argument]
        if len(reached[node]) > 1:
            names = " and ".join(sorted(map(str, sources)))
            raise UserError(
                f"{node} joins {names}: a residual connection or a second input, and an MLP is a"
                " chain"
            )


def _require_no_weights(node: fx.Node, modules: dict[str, nn.Module]) -> None:
    """Require that a step between layers has no weights, unless they are those of a normalization
    or of PReLU.
    """
    if node.op == "get_attr":
        raise UserError(
            f"{node.target} is a weight outside of any layer; only Linear layers may have weights;"
            f" {WAY_OUT}"
        )
    if node.op != "call_module":
        return
    module = modules[str(node.target)]
    if isinstance(module, WITH_WEIGHTS):
        return
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        raise UserError(
            f"module {node.target} ({type(module).__name__}) has weights; only Linear layers and"
            f" normalization may; {WAY_OUT}"
        )


def _require_ordinary(layer: nn.Linear, node: fx.Node, others: list[nn.Linear]) -> None:
    """Require a layer that maps x to W x + b with its own weights."""
    named = f"module {node.target} ({type(layer).__name__})"
    if any(layer.weight is other.weight for other in others):
        raise UserError(
            f"{named} is used twice, or shares its weight; each layer must have its own weights"
        )
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        raise UserError(
            f"the weight of {named} is computed from other parameters; remove the parametrization"
            " first"
        )
    if type(layer).forward is not nn.Linear.forward:
        raise UserError(f"{named} overrides forward, so an ordinary layer cannot replace it")


def _require_any_width(chain: Chain) -> None:
    """Require that what stands between hidden layers works at the width of the low-rank network,
    too.
    """
    for number, modules in enumerate(chain.after[:-2], start=1):
        for module in modules:
            if not is_elementwise(module, chain.layers[0].weight):
                raise UserError(
                    f"{name_of(module)} after layer {number} does not act on each unit separately,"
                    " and a low-rank MLP has other units there; remove it, or put it before the"
                    " first layer or after the last hidden one"
                )
    for number, (layer, following) in enumerate(pairwise(chain.layers), start=1):
        if layer.out_features != following.in_features:
            raise UserError(
                f"layer {number} returns {layer.out_features} numbers, layer {number + 1} takes"
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
        entries = torch.linspace(-1, 1, 2 * width, dtype=like.dtype, device=like.device)
        inputs = entries.reshape(2, width)
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
