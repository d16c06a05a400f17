"""The method for models of one's own: laws of the low-rank MLP and of what is watched, over shapes, dtypes, ranks."""

import copy
import io
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from conftest import NAME, ROOT
from lowrank_dynamics import metrics
from lowrank_dynamics.cells import CellRun
from lowrank_dynamics.compression import Loss, big_basis, low_rank, parts
from lowrank_dynamics.config import Cell
from lowrank_dynamics.errors import UserError
from lowrank_dynamics.networks import MLP
from lowrank_dynamics.subspaces import principal_angles
from lowrank_dynamics.watching import Watch
from runs import environment


def mlp(
    *widths: int,
    bias: bool = True,
    activation: type[nn.Module] = nn.GELU,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> nn.Sequential:
    """Return an MLP with PyTorch's own kind of initialization, drawn from a generator."""
    generator = torch.Generator().manual_seed(seed)
    modules: list[nn.Module] = []
    for columns, rows in pairwise(widths):
        layer = nn.Linear(columns, rows, bias=bias, dtype=dtype)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -(columns**-0.5), columns**-0.5, generator=generator)
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def of_weights(network: MLP) -> nn.Sequential:
    """Return the first trial of one of the workflow's networks as an ordinary module with ELU."""
    modules: list[nn.Module] = []
    for weight in network.weights:
        layer = nn.Linear(weight.shape[2], weight.shape[1], bias=False, dtype=torch.float64)
        layer.weight.data.copy_(weight[0])
        modules += [layer, nn.ELU()]
    return nn.Sequential(*modules[:-1])


def batch(model: nn.Sequential, samples: int = 40) -> tuple[Tensor, Tensor]:
    stack, generator = parts(model), torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, stack.dimension, generator=generator, dtype=torch.float64)
    labels = torch.randint(stack.classes, (samples,), generator=generator)
    return inputs.to(stack.layers[0].weight.dtype), labels


def loss_of(model: nn.Sequential) -> Loss:
    inputs, labels = batch(model)
    targets = functional.one_hot(labels, parts(model).classes).to(inputs.dtype)
    return lambda: (model(inputs) - targets).square().sum() / 2


def compressed(model: nn.Sequential, rank: int | None = None) -> nn.Sequential:
    return low_rank(model, loss_of(model), rank)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw the widths of an MLP that the theory applies to, and a rank."""
    classes = draw(st.integers(1, 4))
    smallest = 2 * classes + 1
    widths = draw(st.lists(st.integers(smallest, 24), min_size=2, max_size=5))
    return [*widths, classes], draw(st.integers(2 * classes, min(widths)))


@settings(max_examples=40, deadline=None)
@given(shapes(), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_an_mlp_of_any_shape_becomes_one_of_any_rank(
    shape: tuple[list[int], int], bias: bool, dtype: torch.dtype
) -> None:
    widths, rank = shape
    model = mlp(*widths, bias=bias, dtype=dtype)
    before = copy.deepcopy(model.state_dict())
    small = compressed(model, rank)
    inputs, _ = batch(model)
    assert small(inputs).shape == model(inputs).shape
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    factor = small.input_factor.weight.detach().double()
    torch.testing.assert_close(factor @ factor.mT, torch.eye(rank, dtype=torch.float64), rtol=0, atol=1e-5)
    basis = big_basis(parts(model), loss_of(model))
    assert float(principal_angles(basis, factor.mT @ (factor @ basis)).max()) < 1e-3  # S_big is in the span
    assert (small.output_factor.bias is not None) == bias


@settings(max_examples=25, deadline=None)
@given(shapes())
def test_a_linear_network_is_kept_on_its_subspace(shape: tuple[list[int], int]) -> None:
    widths, rank = shape
    model = mlp(*widths, bias=False, activation=nn.Identity)
    small = compressed(model, rank)
    inputs, _ = batch(model)
    inside = inputs @ small.input_factor.weight.mT @ small.input_factor.weight
    torch.testing.assert_close(small(inputs), model(inside))


def test_at_full_rank_a_linear_network_is_kept_everywhere() -> None:
    model = mlp(9, 12, 10, 3, bias=False, activation=nn.Identity)
    inputs, _ = batch(model)
    torch.testing.assert_close(compressed(model, 9)(inputs), model(inputs))


def test_orthogonal_weights_give_the_factors_of_the_paper(settings: Any) -> None:
    """U and V span what the workflow's low-rank network has, and the cores are eps times an orthogonal matrix."""
    run = CellRun(settings(parameterizations=["full", "s_big"]), NAME, Cell("elu", "s_big"), range(1))
    full = run.mlp()
    reference = run.low_rank_mlp(full)
    model, data = of_weights(full), run.data.train
    small = low_rank(model, lambda: (model(data.inputs[0].mT).mT - data.targets[0]).square().sum() / 2)
    for own, factor in (
        (small.input_factor.weight.mT, reference.input_factor[0]),
        (small.output_factor.weight, reference.output_factor[0]),
    ):
        assert float(principal_angles(own.detach(), factor.detach()).max()) < 1e-7
    eps = run.experiment.network.scale
    for core in (small.core_1.weight, small.core_2.weight):
        torch.testing.assert_close(core, eps * torch.eye(6, dtype=torch.float64))


def test_it_is_an_ordinary_module(tmp_path: Path) -> None:
    """Saved and loaded, moved to another dtype, compiled, trained."""
    model = mlp(14, 12, 12, 3, dtype=torch.float32)
    small = compressed(model, 8)
    torch.save(small.state_dict(), tmp_path / "small.pt")
    other = compressed(mlp(14, 12, 12, 3, dtype=torch.float32, seed=5), 8)
    other.load_state_dict(torch.load(tmp_path / "small.pt", weights_only=True))
    inputs, labels = batch(model)
    torch.testing.assert_close(other(inputs), small(inputs))
    whole = io.BytesIO()
    torch.save(small, whole)
    assert copy.deepcopy(small).double()(inputs.double()).dtype == torch.float64
    exported = torch.compile(small, backend="eager", fullgraph=True)
    torch.testing.assert_close(exported(inputs), small(inputs))
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = functional.cross_entropy(small(inputs), labels)
    for _ in range(50):
        optimizer.zero_grad()
        functional.cross_entropy(small(inputs), labels).backward()
        optimizer.step()
    assert functional.cross_entropy(small(inputs), labels) < before
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_the_head_of_a_larger_model_is_replaced_in_place() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
            self.head = nn.Sequential(
                nn.Linear(16, 20), nn.SiLU(), nn.Dropout(0.5), nn.Linear(20, 12), nn.SiLU(), nn.Linear(12, 3)
            )

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.features(images))

    model = Model().eval()
    images, labels = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    model.head = low_rank(model.head, lambda: functional.cross_entropy(model(images), labels), rank=7)
    assert model(images).shape == (30, 3)
    assert sum(isinstance(module, nn.Dropout) for module in model.head) == 1


def test_the_same_rank_gives_the_same_network() -> None:
    model = mlp(14, 12, 12, 3)
    one, other, drawn = (
        compressed(model, 9),
        compressed(model, 9),
        low_rank(model, loss_of(model), 9, generator=torch.Generator().manual_seed(7)),
    )
    assert torch.equal(one.input_factor.weight, other.input_factor.weight)
    assert torch.equal(one.input_factor.weight[:6], drawn.input_factor.weight[:6])
    assert not torch.equal(one.input_factor.weight[6:], drawn.input_factor.weight[6:])


def no_loss(model: nn.Sequential) -> Loss:
    inputs, _ = batch(model)
    return lambda: model(inputs).sum() * 0


@pytest.mark.parametrize(
    ("model", "rank", "message"),
    [
        (mlp(14, 12, 3), 5, "the rank must be at least 2K = 6, the dimension of S_big; it is 5"),
        (mlp(14, 12, 3), 13, "the rank must be at most 12, the smallest width; it is 13"),
        (mlp(6, 12, 3), 6, r"the theory needs K < d/2, and this MLP has K = 3 outputs and d = 6 inputs"),
        (mlp(14, 3), 6, "needs two Linear layers at least, and this Sequential has 1"),
        (
            nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)),
            4,
            r"module 1 \(BatchNorm1d\) has weights",
        ),
        (mlp(14, 12, 3, activation=nn.Identity).requires_grad_(False), 6, "the first layer is frozen"),
    ],
)
def test_where_the_theory_does_not_apply_it_says_so(model: nn.Sequential, rank: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        low_rank(model, lambda: torch.zeros(()), rank)


def test_a_gradient_of_zero_is_refused() -> None:
    model = mlp(14, 12, 3)
    with pytest.raises(UserError, match="no finite gradient in the first layer, or one that is zero"):
        low_rank(model, no_loss(model))
    inputs, _ = batch(model)
    with pytest.raises(UserError, match="the gradient has rank below K = 3"):
        low_rank(model, lambda: model(inputs[:1]).square().sum())


def trained(model: nn.Sequential, watch: Watch, steps: int = 20) -> Watch:
    loss = loss_of(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(steps):
        optimizer.zero_grad()
        value = loss()
        watch.record(step, train_loss=float(value.detach()))
        value.backward()
        optimizer.step()
    watch.record(steps, train_loss=float(loss().detach()))
    return watch


def test_what_is_watched_follows_the_schema_and_its_laws(tmp_path: Path) -> None:
    model = mlp(10, 12, 14, 2)
    watch = trained(model, Watch(model, loss_of(model)))
    watch.write(tmp_path / "watched.parquet", "mine", variant="first", trial=3)
    found = metrics.read(tmp_path / "watched.parquet")
    assert found.table.schema.names == metrics.SCHEMA.names
    assert (found.values("activation"), found.values("trial"), found.values("variant")) == ({"gelu"}, {3}, {"first"})
    assert found.provenance["libraries"].keys() == {"torch", "numpy", "pyarrow"}
    shares = found.frame("block_share")
    torch.testing.assert_close(
        torch.tensor(shares.groupby(["layer", "step"])["value"].sum().to_numpy()), torch.ones(40, dtype=torch.float64)
    )
    assert set(shares["layer"]) == {1, 2}
    last = found.frame("singular_value", layer=2, step=20).sort_values("index")["value"].to_numpy()
    expected = torch.linalg.svdvals(model[2].weight.detach())
    torch.testing.assert_close(torch.tensor(last), expected)
    assert len(found.frame("train_loss")) == 21
    assert found.frame("angle_left_top")["value"].max() <= torch.pi / 2


def test_watching_agrees_with_the_workflow(settings: Any) -> None:
    """The same network trained in a plain loop has the block shares that the workflow measures."""
    run = CellRun(settings(), NAME, Cell("elu", "full"), range(1))
    expected = {
        (row.step, row.layer): row.values[0] for row in run.measurements() if row.quantity == "block_share" and row.step
    }
    full, data = run.mlp(), run.data.train
    model = of_weights(full)

    def loss() -> Tensor:
        return (model(data.inputs[0].mT).mT - data.targets[0]).square().sum() / 2

    watch = Watch(model, loss, quantities=["block_shares"])
    optimizer = torch.optim.SGD(model.parameters(), lr=run.experiment.training.learning_rate)
    for step in range(21):
        watch.record(step)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    shares = watch.metrics().frame("block_share").set_index(["step", "layer", "index"])["value"].sort_index()
    for (step, layer), values in expected.items():
        assert shares.loc[(step, layer)].to_numpy() == pytest.approx(values, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ((14, 12, 3), {"layers": [2]}, "there is no hidden layer 2; there are 1 to 1"),
        ((20, 9, 3), {}, "block shares are not defined in layer 1: it has 9 units, fewer than d - 2K = 14"),
        (
            (20, 6, 3),
            {"quantities": ["singular_structure"]},
            "layer 1 has 6 singular values, which leaves no middle group",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(widths: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    model = mlp(*widths)
    with pytest.raises(UserError, match=message):
        Watch(model, loss_of(model), **options)


def test_watching_needs_a_loss_and_a_record() -> None:
    model = mlp(10, 12, 2)
    with pytest.raises(UserError, match="block shares need the loss of one batch"):
        Watch(model)
    with pytest.raises(UserError, match="nothing was recorded"):
        Watch(model, quantities=["singular_structure"]).metrics()


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "library.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", example[1]],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT / "workflow"), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    full, small = map(float, re.findall(r"(0\.\d+)", run.stdout.splitlines()[0]))
    assert "both reach 80 % of the test images" in " ".join(text.split())
    assert full == pytest.approx(0.8, abs=0.02)
    assert small == pytest.approx(0.8, abs=0.02)
    assert metrics.read(tmp_path / "watched.parquet").values("layer") == {1}
