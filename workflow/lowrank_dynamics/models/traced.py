"""Your own MLP's forward, traced by torch.fx, and what it computes between two of its layers as
modules that may stand in another network.

It is traced in training and in evaluation, so that what depends on the mode follows it. A piece of
it is a list of nodes from its source on.
"""

import copy
import inspect
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lowrank_dynamics.errors import UserError
from lowrank_dynamics.models.no_trace import random_numbers_kept

WAY_OUT = 'name the part of the model that is an MLP, such as at="classifier"'
PROPERTIES = {"shape", "ndim", "dtype", "device", "is_cuda"}
PROPERTY_METHODS = {"size", "dim", "ndimension", "numel"}
"""What a branch may depend on though it does not depend on the values of a tensor."""
LIBRARIES = (Path(torch.__file__).parent, Path(__file__).parent)
"""Where the code lies that is not the user's."""
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
NAMED_BY_MODE: dict[Any, type[nn.Module]] = {
    functional.alpha_dropout: nn.AlphaDropout,
    functional.dropout: nn.Dropout,
    functional.feature_alpha_dropout: nn.FeatureAlphaDropout,
    functional.rrelu: nn.RReLU,
}
"""The same for functions that are told the mode by `training`."""

Step = tuple[fx.Node, fx.Node]
"""The same step in training and in evaluation."""


class _BranchError(Exception):
    """A forward takes one of two ways; its text says what that depends on."""


class _LostError(Exception):
    """A forward does something that its trace would lose; its text says what."""


class _Tracer(fx.Tracer):
    """Traces any module without Linear layers as one step, and the others without their hooks.

    Required arguments are inputs, the others have their defaults.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._context = _context()

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _context() != self._context:
            raise _LostError("computes a part under autocast or no_grad")
        return super().create_node(*args, **kwargs)

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        if isinstance(module, nn.Linear):
            return True
        if isinstance(module, nn.Sequential):
            return False
        return not any(isinstance(part, nn.Linear) for part in module.modules())

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        del is_module, concrete_args
        _, *parameters = inspect.signature(root_fn).parameters.values()
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = [
            parameter
            for parameter in parameters
            if parameter.kind in positional and parameter.default is inspect.Parameter.empty
        ]
        names = [parameter.name for parameter in required] or ["inputs"]
        inputs = [self.create_proxy("placeholder", name, (), {}) for name in names]
        return root_fn, [self.root, *inputs]

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        if threading.get_ident() != self._thread:  # torch.fx sees the calls of all threads
            return forward(*args, **kwargs)
        return super().call_module(m, m.forward, args, kwargs)

    def to_bool(self, obj: fx.Proxy) -> bool:
        of_properties = _is_of_properties(obj.node)
        raise _BranchError("the shape or type of a tensor" if of_properties else "values")


def graph_of(mlp: nn.Module, *, training: bool) -> fx.Graph:
    """Return what `mlp` computes in training or in evaluation; its own mode stays.

    Raises UserError, with the reason and the line, if that cannot be traced. Its forward is called
    on a copy, so that what it keeps of a call is not kept by `mlp`.
    """
    double = _copy_with_weights_of(mlp)
    try:
        with _in_mode(double, training=training), _functions_refused():
            graph, other = (_with_random_numbers(double, seed) for seed in (0, 1))
        if str(graph) != str(other):
            raise _LostError("draws random numbers outside of any module or function of torch")
        _require_no_lost_write(graph, double)
    except _BranchError as branch:
        reason = "one way would be fixed, whatever the input"
        demand = f"not branch on {branch}"
        raise _refusal(mlp, branch, reason, demand) from branch
    except _LostError as lost:
        reason = f"it {lost}, which would be lost"
        raise _refusal(mlp, lost, reason, "not do that, or do it in a module of its own") from lost
    except Exception as error:  # a forward may raise anything for an fx proxy
        lines = str(error).splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise _refusal(mlp, error, reason, "be one that torch.fx can trace") from error
    return graph


def _copy_with_weights_of(mlp: nn.Module) -> nn.Module:
    """Return a copy with the same weights, not copies of them; `mlp` itself if it keeps something
    that has no copy.
    """
    weights = {id(parameter): parameter for parameter in mlp.parameters()}
    try:
        return copy.deepcopy(mlp, weights)
    except Exception:  # a module may keep anything
        return mlp


def _with_random_numbers(mlp: nn.Module, seed: int) -> fx.Graph:
    """Return what `mlp` computes with the CPU's random numbers of a seed, and restore it."""
    weight = next(mlp.parameters(), torch.empty(0))
    with random_numbers_kept(weight.device):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all devices
        return _Tracer().trace(mlp)


def _context() -> tuple[bool, ...]:
    """Return the switches of torch that a forward may set for a part of it."""
    kinds = ("cpu", "cuda")
    return torch.is_grad_enabled(), *(torch.is_autocast_enabled(kind) for kind in kinds)


@contextmanager
def _functions_refused() -> Iterator[None]:
    """Raise _LostError where an autograd.Function takes a value that is traced, because its own
    backward would be lost.
    """
    apply = vars(torch.autograd.Function)["apply"].__func__

    def applied(cls: type[torch.autograd.Function], *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(argument, fx.Proxy) for argument in args):
            raise _LostError(f"applies {cls.__name__}, an autograd.Function with its own backward")
        return apply(cls, *args, **kwargs)

    with patch.object(torch.autograd.Function, "apply", classmethod(applied)):
        yield


def _require_no_lost_write(graph: fx.Graph, mlp: nn.Module) -> None:
    """Raise _LostError for a change in place whose result is not used: only a trace that follows
    the tensor, and not its names, would see it.
    """
    for node in graph.nodes:
        if node.users or not _writes_in_place(node, mlp):
            continue
        (written, *_) = node.all_input_nodes
        if _is_of_input(written):
            raise _LostError(f"changes a tensor in place, by {node}, without using the result")


def _writes_in_place(node: fx.Node, mlp: nn.Module) -> bool:
    """Return whether a node changes its first argument, by torch's conventions."""
    if not node.all_input_nodes:
        return False
    if node.op == "call_module":
        return getattr(mlp.get_submodule(str(node.target)), "inplace", False) is True
    name = str(getattr(node.target, "__name__", node.target))
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or node.kwargs.get("inplace") is True or "out" in node.kwargs


def _is_of_input(node: fx.Node) -> bool:
    """Return whether a node depends on the input of the model."""
    return node.op == "placeholder" or any(map(_is_of_input, node.all_input_nodes))


def _refusal(mlp: nn.Module, error: Exception, reason: str, demand: str) -> UserError:
    return UserError(
        f"the forward of {type(mlp).__name__} cannot be traced ({reason}{_place_of(error)}); it"
        f" must {demand}, and must take exactly one input; or {WAY_OUT}"
    )


def _place_of(error: Exception) -> str:
    """Return the last line of a user's own code that an error came through, in words; empty if
    there is none.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not any(file.is_relative_to(library) for library in LIBRARIES):
            return f", line {frame.lineno} of {file.name}"
    return ""


@contextmanager
def _in_mode(mlp: nn.Module, *, training: bool) -> Iterator[None]:
    """Put all modules in training or in evaluation, and at the end each into its own mode."""
    modes = {module: module.training for module in mlp.modules() if hasattr(module, "training")}
    try:
        for module in modes:
            module.training = training  # `train` may be overridden
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _is_of_properties(node: fx.Node) -> bool:
    """Return whether a node depends on the shape or type of tensors, and not on their values."""
    if node.op == "call_method" and node.target in PROPERTY_METHODS:
        return True
    if node.target is getattr and node.args[1] in PROPERTIES:
        return True
    sources = node.all_input_nodes
    return bool(sources) and all(map(_is_of_properties, sources))


class ByMode(nn.Module):
    """Computes `in_training` in training and `in_evaluation` in evaluation."""

    def __init__(self, in_training: nn.Module, in_evaluation: nn.Module) -> None:
        super().__init__()
        self.in_training = in_training
        self.in_evaluation = in_evaluation

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the mode of this module asks for."""
        if self.training:
            return self.in_training(inputs)
        return self.in_evaluation(inputs)


def as_modules(
    mlp: nn.Module, training: list[fx.Node], evaluation: list[fx.Node]
) -> list[nn.Module]:
    """Return what a piece computes of its source: the modules of `mlp` in a row, and functions as
    modules too, in the mode of the module whose forward they are in. They follow their mode.
    """
    shared = _shared_steps(training, evaluation)
    modules: list[nn.Module] = []
    for exists, group in groupby(shared, key=_has_module):
        row = list(group)
        if exists:
            modules += [_module_of(mlp, step) for step in row]
        else:
            (source,), (other,) = (node.all_input_nodes for node in row[0])
            first, second = zip(*row, strict=True)
            modules.append(_by_mode(mlp, [source, *first], [other, *second]))
    rest = training[len(shared) :], evaluation[len(shared) :]
    if max(map(len, rest)) > 1:
        modules.append(_by_mode(mlp, *rest))
    return modules


def _shared_steps(training: list[fx.Node], evaluation: list[fx.Node]) -> list[Step]:
    """Return the steps after the source until they differ in more than options; none unless each
    takes the one before it and nothing else.
    """
    steps: list[Step] = []
    if not _is_row(training) or not _is_row(evaluation):
        return steps
    for one, other in zip(training[1:], evaluation[1:], strict=False):
        if (one.op, one.target) != (other.op, other.target):
            break
        steps.append((one, other))
    return steps


def _is_row(piece: list[fx.Node]) -> bool:
    """Return whether each node takes the one before it and nothing else."""
    return all(node.all_input_nodes == [before] for before, node in pairwise(piece))


def name_of(module: nn.Module) -> str:
    """Return what an error calls a module: its class, or the functions that it was traced to."""
    if isinstance(module, ByMode):
        names = name_of(module.in_training), name_of(module.in_evaluation)
        return " or ".join(name for name in names if name)
    if not isinstance(module, fx.GraphModule):
        return type(module).__name__
    calls = [str(node) for node in module.graph.nodes if node.op.startswith("call_")]
    return ", ".join(calls)


def _has_module(step: Step) -> bool:
    """Return whether a step is a module that takes its input and nothing else, or a function that
    torch has as a module.
    """
    one, other = step
    if any(node.args != tuple(node.all_input_nodes) for node in step):
        return False
    if one.op == "call_module":
        return not one.kwargs and not other.kwargs
    if one.target in NAMED_BY_MODE:
        return one.kwargs == {**other.kwargs, "training": True} and not other.kwargs["training"]
    return one.target in NAMED and one.kwargs == other.kwargs


def _module_of(mlp: nn.Module, step: Step) -> nn.Module:
    """Return the module of such a step, which changes no input; a function's has its options, such
    as a slope.
    """
    node, _ = step
    if node.op == "call_module":
        return mlp.get_submodule(str(node.target))
    options = dict(node.kwargs)
    options.pop("inplace", None)
    options.pop("training", None)
    kind = (NAMED | NAMED_BY_MODE)[node.target]
    module = kind(**options)
    module.training = _mode_at(mlp, node)
    return module


def _by_mode(mlp: nn.Module, training: list[fx.Node], evaluation: list[fx.Node]) -> nn.Module:
    """Return a module that computes a piece in either mode, and is in that of its last step."""
    one, other = _traced(mlp, training), _traced(mlp, evaluation)
    module = one if one.code == other.code else ByMode(one, other)
    longer = max(training, evaluation, key=len)
    module.training = _mode_at(mlp, longer[-1])
    return module


def _mode_at(mlp: nn.Module, node: fx.Node) -> bool:
    """Return whether the module whose forward a step is in, which may be a part of `mlp` that is
    frozen in evaluation, is in training.
    """
    entered = node.meta.get("nn_module_stack", {}).values()
    paths = ["", *(path for path, _ in entered)]
    if node.op == "call_module":
        paths.pop()  # the module that is called
    return mlp.get_submodule(paths[-1]).training


def _traced(mlp: nn.Module, piece: list[fx.Node]) -> fx.GraphModule:
    """Return a module that computes a piece, of which the last node is its output."""
    source, *nodes = piece
    graph = fx.Graph()
    copies = {source: graph.placeholder("inputs")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[piece[-1]])
    return fx.GraphModule(mlp, graph)
