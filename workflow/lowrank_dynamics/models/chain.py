"""Your own MLP, however it is written, as the chain of layers that the theory is about.

The model is traced by torch.fx. Between two of its layers there may be any elementwise function of
the first one's output: a low-rank MLP has other units there.
"""

from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.no_trace import random_numbers_kept
from lowrank_dynamics.models.submodules import copy_of, unwrapped
from lowrank_dynamics.models.traced import WAY_OUT, as_modules, graph_of, name_of

NORMALIZATION = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)
WITH_WEIGHTS = (*NORMALIZATION, nn.PReLU)
"""Modules that may have weights: they stay as they are."""


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


def chain_of(mlp: nn.Module) -> Chain:
    """Return the parts of an MLP. Raises UserError, which names the place, if it is not a chain of
    layers, in training and in evaluation.
    """
    mlp = unwrapped(mlp)
    _require_traceable(mlp)
    layers, pieces = _pieces(mlp, training=mlp.training)
    try:
        same_layers, others = _pieces(mlp, training=not mlp.training)
    except UserError as error:
        mode = "evaluation" if mlp.training else "training"
        raise UserError(f"in {mode}, {error}") from error
    if layers != same_layers:
        raise UserError(
            f"{type(mlp).__name__} has other layers in training than in evaluation; {WAY_OUT}"
        )
    if len(layers) < 2:
        raise _too_few(mlp, len(layers))
    in_training, in_evaluation = (pieces, others) if mlp.training else (others, pieces)
    before, *after = [
        as_modules(mlp, *piece) for piece in zip(in_training, in_evaluation, strict=True)
    ]
    chain = Chain(before, layers, after)
    _require_used_once(chain)
    _require_any_width(chain)
    return chain


def _require_traceable(mlp: nn.Module) -> None:
    """Require that the layers of an MLP can be seen: they exist, and nothing stands around them."""
    if isinstance(mlp, nn.Linear):
        raise _too_few(mlp, 1)
    if any(isinstance(parameter, UninitializedParameter) for parameter in mlp.parameters()):
        raise UserError(
            "a lazy layer of the model has no weights yet; call the model on a batch first"
        )
    for path, module in mlp.named_modules():
        if isinstance(getattr(module, "base_layer", None), nn.Module):
            name = f"module {path}" if path else "the part"
            raise UserError(
                f"{name} ({type(module).__name__}) is an adapter, such as LoRA's, around a layer,"
                " its base_layer; take the model without adapters, which peft's unload() or"
                " merge_and_unload() returns"
            )


def _too_few(mlp: nn.Module, count: int) -> UserError:
    return UserError(
        f"an MLP needs at least two Linear layers, and {type(mlp).__name__} has {count}"
    )


def _pieces(mlp: nn.Module, *, training: bool) -> tuple[list[nn.Linear], list[list[fx.Node]]]:
    """Return the layers, and the nodes before the first, between them, and after the last, each
    from its source on.
    """
    graph = graph_of(mlp, training=training)
    modules = dict(mlp.named_modules())
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
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        raise UserError(
            f"the weight of {named} is computed from other parameters; remove the parametrization"
            " first"
        )
    if hasattr(layer.weight, "full_tensor"):
        raise UserError(
            f"the weight of {named} is divided among processes; make the low-rank model first, and"
            " shard that"
        )
    if layer.weight.is_complex():
        raise UserError(f"the weight of {named} is complex, and the theory is about real ones")
    if type(layer).forward is not nn.Linear.forward or "forward" in vars(layer):
        raise UserError(f"{named} overrides forward, so an ordinary layer cannot replace it")
    if any(_share_values(layer, other) for other in others):
        raise UserError(
            f"{named} is used twice, or shares a weight; each layer must have its own weights"
        )


def _share_values(one: nn.Module, other: nn.Module) -> bool:
    """Return whether a weight of two layers is the same, or begins at the same place in memory."""
    for weight, other_weight in product(one.parameters(), other.parameters()):
        if weight is other_weight:
            return True
        if not weight.is_meta and weight.data_ptr() == other_weight.data_ptr() != 0:
            return True
    return False


def _require_used_once(chain: Chain) -> None:
    """Require that no two modules around the layers share a weight: copies would have two."""
    used: set[int] = set()
    for modules in (chain.before, *chain.after):
        for module in modules:
            weights = set(map(id, module.parameters()))
            if not used.isdisjoint(weights):
                raise UserError(
                    f"{name_of(module)} is used twice, or shares a weight; each place must have its"
                    " own"
                )
            used |= weights


def _require_any_width(chain: Chain) -> None:
    """Require that what stands between hidden layers works at the width of the low-rank network,
    too.
    """
    for number, modules in enumerate(chain.after[:-2], start=1):
        for module in modules:
            layer = chain.layers[number - 1]
            if not is_elementwise(module, layer.weight):
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


def is_elementwise(module: nn.Module, weight: Tensor) -> bool:
    """Return whether a module keeps any shape and maps each entry alone, and all alike, in either
    mode; tried in the dtype and, among others, at the width of the layer before it, whose `weight`
    (m, n) is given.
    """
    device = torch.device("cpu") if weight.is_meta else weight.device
    trial = copy_of(module).to_empty(device=device) if weight.is_meta else copy_of(module)
    for training in (False, True):
        trial.train(training)
        for width in (6, 5):
            inputs = torch.linspace(-1, 1, 2 * width, dtype=weight.dtype, device=device)
            if not _keeps_entries(trial, inputs.reshape(2, width)):
                return False
    trial.eval()
    inputs = torch.linspace(-1, 1, len(weight), dtype=weight.dtype, device=device)
    return _maps_all_alike(trial, inputs.reshape(1, -1))


@torch.no_grad()
def _maps_all_alike(module: nn.Module, inputs: Tensor) -> bool:
    """Return whether a module maps each of the `inputs` (1, m) to the same number wherever it is,
    and however many others there are; one that draws random numbers does.
    """
    try:
        with random_numbers_kept(inputs.device):
            outputs, again = module(inputs.clone()), module(inputs.clone())
        if not torch.equal(outputs, again):
            return True
        turned = module(inputs.roll(1, -1))
        twice = module(inputs.repeat(2, 2))
    except Exception:  # a module that takes no such input raises anything
        return False
    rounding = 10 * torch.finfo(inputs.dtype).eps
    for expected, found in ((outputs.roll(1, -1), turned), (outputs.repeat(2, 2), twice)):
        if not torch.allclose(expected, found, rounding, rounding, equal_nan=True):
            return False
    return True


@torch.no_grad()
def _keeps_entries(module: nn.Module, inputs: Tensor) -> bool:
    """Return whether a module maps `inputs`, from -1 to 1, to as many entries, of which only the
    first and last change with the first and last input.
    """
    changed = inputs.clone()
    # in training rrelu draws a number for each negative entry, so none may change its sign
    changed[0, 0] = -0.5 if module.training else 0.5
    changed[-1, -1] = 0.5
    try:
        with random_numbers_kept(inputs.device):
            outputs = module(inputs.clone())
        with random_numbers_kept(inputs.device):
            others = module(changed)
    except Exception:  # a module that takes no such input raises anything
        return False
    if not isinstance(outputs, Tensor) or outputs.shape != inputs.shape:
        return False
    return torch.allclose(outputs.flatten()[1:-1], others.flatten()[1:-1], equal_nan=True)
