"""What is watched while an MLP of your own trains: its schema and laws, agreement with the
workflow, refusals.
"""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import ROOT, MakeJob, refused, rows_of
from lowrank_dynamics.config.cell import BASE
from lowrank_dynamics.models.big_basis import big_basis
from lowrank_dynamics.models.chain import chain_of
from lowrank_dynamics.models.subspaces import block_shares, layer_bases
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.training.build import setup_of
from lowrank_dynamics.training.watch import Watch
from runs import environment
from stacks import loss_of, mlp, of_weights

MOST_MODULES = 12
LOADED = """
import sys
from lowrank_dynamics import Watch
print(*(name for name in sys.modules if name.startswith("lowrank_dynamics.")))
"""


def test_importing_it_loads_few_modules() -> None:
    """Neither settings nor storage, nor the training of the workflow."""
    run = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=environment(PYTHONPATH=str(ROOT / "workflow")),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = run.stdout.split()
    assert "lowrank_dynamics.training.watch" in loaded
    assert len(loaded) <= MOST_MODULES, sorted(loaded)
    assert not [name for name in loaded if name.split(".")[1] in {"config", "storage", "data"}]


def test_its_variant_is_the_one_that_the_workflow_calls_base() -> None:
    for method in (Watch.metrics, Watch.write):
        assert inspect.signature(method).parameters["variant"].default == BASE


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
    watch = trained(
        model, Watch(model, loss_of(model), quantities=["block_shares", "singular_structure"])
    )
    watch.write(tmp_path / "watched.parquet", "mine", variant="first", trial=3)
    found = metrics.read(str(tmp_path / "watched.parquet"))
    assert found.table.schema.names == metrics.SCHEMA.names
    assert (found.values("activation"), found.values("trial"), found.values("variant")) == (
        {"gelu"},
        {3},
        {"first"},
    )
    assert found.cells["gelu-full-first"].libraries.keys() == {"torch", "numpy", "pyarrow"}
    shares = found.frame("block_share")
    torch.testing.assert_close(
        torch.tensor(shares.groupby(["layer", "step"])["value"].sum().to_numpy()),
        torch.ones(40, dtype=torch.float64),
    )
    assert set(shares["layer"]) == {1, 2}
    last = found.frame("singular_value", layer=2, step=20).sort_values("index")["value"].to_numpy()
    expected = torch.linalg.svdvals(model[2].weight.detach())
    torch.testing.assert_close(torch.tensor(last), expected)
    assert len(found.frame("train_loss")) == 21
    assert found.frame("angle_left_top")["value"].max() <= torch.pi / 2


def test_an_activation_of_several_functions_has_their_names() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(10, 12), nn.Linear(12, 2)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.last(torch.tanh(2 * self.first(inputs)))

    model = Written().double()
    inputs = torch.randn(40, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    watch = Watch(model, lambda: (model(inputs) - inputs[:, :2]).square().sum())
    watch.record(0, loss=1.0)
    assert watch.metrics().values("activation") == {"mul, Tanh"}


def test_a_record_without_a_change_has_no_share() -> None:
    model = mlp(10, 12, 2)
    watch = Watch(model, loss_of(model))
    watch.record(0, loss=1.0)
    with refused(
        "the metrics hold no block_share with layer = 1; record it at that step; at the first"
        " record nothing has changed, so it has no share"
    ):
        watch.metrics().frame("block_share", layer=1)


def test_watching_agrees_with_the_workflow(job: MakeJob) -> None:
    """The same network trained in a plain loop has the block shares that the workflow measures."""
    whole = job(trials=range(1))
    expected = {
        (row.step, row.layer): row.values[0]
        for row in rows_of(whole)
        if row.quantity == "block_share" and row.step
    }
    setup = setup_of(whole)
    model, data = of_weights(setup.mlp), setup.data.train

    def loss() -> Tensor:
        return (model(data.inputs[0].mT).mT - data.targets[0]).square().sum() / 2

    watch = Watch(model, loss, quantities=["block_shares"])
    optimizer = torch.optim.SGD(model.parameters(), lr=whole.cell_settings.training.learning_rate)
    for step in range(21):
        watch.record(step)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    shares = (
        watch.metrics()
        .frame("block_share")
        .set_index(["step", "layer", "index"])["value"]
        .sort_index()
    )
    for (step, layer), values in expected.items():
        assert shares.loc[(step, layer)].to_numpy() == pytest.approx(values, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ((14, 12, 3), {"layers": [2]}, "there is no hidden layer 2; there are 1 to 1"),
        (
            (20, 9, 3),
            {},
            "block shares are not defined in layer 1: it has 9 units, fewer than d - K = 17",
        ),
        (
            (20, 17, 13, 3),
            {},
            "block shares are not defined in layer 2: it has 13 units, fewer than d - 2K = 14",
        ),
        ((6, 12, 3), {}, "the theory needs K < d/2"),
        ((14, 12, 3), {"layers": []}, "layers is empty"),
        ((14, 12, 3), {"layers": [1.0]}, "there is no hidden layer 1.0; there are 1 to 1"),
        ((14, 12, 3), {"layers": 1}, "layers must be a collection, such as \\[1\\]; got 1"),
        (
            (14, 12, 3),
            {"quantities": ["block_share"]},
            "there is no quantity 'block_share' to watch",
        ),
        (
            (14, 12, 3),
            {"quantities": "block_shares"},
            r"quantities must be a collection, such as \['block_shares', 'singular_structure'\]",
        ),
        ((14, 12, 3), {"quantities": 5}, "quantities must be a collection"),
        (
            (20, 6, 3),
            {"quantities": ["singular_structure"]},
            "layer 1 has 6 singular values, which leaves no middle group",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(
    widths: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    model = mlp(*widths)
    with refused(message):
        Watch(model, loss_of(model), **options)


def test_the_narrowest_layers_that_have_block_shares() -> None:
    model = mlp(20, 17, 14, 3)
    found = trained(
        model, Watch(model, loss_of(model), quantities=["block_shares"], layers=[1, 2, 2])
    ).metrics()
    shares = found.frame("block_share", step=20)
    assert shares.groupby("layer")["value"].sum().tolist() == pytest.approx([1, 1])
    assert len(shares) == 8  # a layer that is named twice is watched once


def test_watching_needs_a_loss_and_a_record() -> None:
    model = mlp(10, 12, 2)
    with refused("block shares need the loss of one batch"):
        Watch(model)
    with refused("nothing was recorded"):
        Watch(model, quantities=["singular_structure"]).metrics()


def test_a_watch_of_further_quantities_alone() -> None:
    watch = Watch(mlp(10, 12, 2), quantities=())
    watch.record(0)
    with refused("nothing was recorded"):
        watch.metrics()
    watch.record(1, train_loss=0.5)
    assert watch.metrics().frame("train_loss")["value"].tolist() == [0.5]


@pytest.mark.parametrize("widths", [(10, 12, 14, 2), (10, 30, 8, 2), (10, 10, 10, 2)])
def test_shares_are_those_of_the_four_blocks(widths: tuple[int, ...]) -> None:
    """Though they are found from norms and a few products; also where a layer is wider than its
    inputs.
    """
    model = mlp(*widths)
    chain, loss = chain_of(model), loss_of(model)
    weights = [layer.weight.detach().clone() for layer in chain.hidden]
    bases = layer_bases(weights, big_basis(chain, loss))
    found = trained(model, Watch(model, loss)).metrics().frame("block_share", step=20)
    for number, (layer, before) in enumerate(zip(chain.hidden, weights, strict=True), start=1):
        expected = block_shares(layer.weight.detach() - before, bases[number - 1]).tolist()
        shares = found[found["layer"] == number].sort_values("index")["value"].tolist()
        assert shares == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_recorded_is_refused_and_spoils_nothing() -> None:
    model = mlp(10, 12, 2)
    watch = Watch(model, loss_of(model))
    watch.record(np.int64(0), mine=1.0)  # type: ignore[arg-type]
    for arguments, values, message in (
        ((0,), {}, "step 0 was recorded before"),
        ((-1,), {}, "a step must be a whole number from 0 to 2,147,483,647; got -1"),
        ((1.5,), {}, "a step must be a whole number from 0 to 2,147,483,647; got 1.5"),
        ((2**31,), {}, "a step must be a whole number from 0 to 2,147,483,647; got 2147483648"),
        ((1,), {"block_share": 1.0}, "block_share is a name of the watch's own quantities"),
        ((1,), {"mine": torch.ones(2)}, "mine must be a number; got a Tensor"),
    ):
        with refused(message):
            watch.record(*arguments, **values)
    watch.record(2**31 - 1, mine=2.0)
    with refused("a trial must be a whole number from 0 to 2,147,483,647; got 2147483648"):
        watch.metrics(trial=2**31)
    rows = watch.metrics(trial=2**31 - 1).frame("mine")
    assert rows["trial"].tolist() == [2**31 - 1] * 2
    assert rows["step"].tolist() == [0, 2**31 - 1]
    assert rows["value"].tolist() == [1, 2]


def test_a_quantity_of_your_own_keeps_its_digits() -> None:
    model = mlp(10, 12, 2)
    watch = Watch(model, quantities=["singular_structure"])
    watch.record(0, learning_rate=0.1)
    assert watch.metrics().frame("learning_rate")["value"].tolist() == [0.1]


def test_movement_is_recorded_in_half_precision() -> None:
    model = mlp(20, 20, 3, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    start = nn.init.orthogonal_(torch.empty(20, 20), generator=generator)
    change = torch.randn(20, 3, generator=generator) @ torch.randn(3, 20, generator=generator)
    watch = Watch(model, quantities=["singular_structure"])
    for step in range(3):
        model[0].weight.data.copy_(start + 0.1 * step * change)
        watch.record(step)
    angles = watch.metrics().frame("angle_left_top")
    assert set(angles["step"]) == {1, 2}


def test_gaps_of_rounding_are_no_reference() -> None:
    """An orthogonal matrix in single precision has singular values that differ by its rounding."""
    model = mlp(32, 32, 4, bias=False, dtype=torch.float32)
    nn.init.orthogonal_(model[0].weight, generator=torch.Generator().manual_seed(0))
    watch = trained(model, Watch(model, quantities=["singular_structure"]))
    steps = set(watch.metrics().frame("sine_left_top")["step"])
    assert 0 not in steps
    assert 20 in steps


def test_weights_that_are_not_finite_have_no_structure() -> None:
    model = mlp(14, 12, 3)
    watch = Watch(model, quantities=["singular_structure"])
    watch.record(0)
    model[0].weight.data[0, 0] = torch.nan
    watch.record(1)
    assert set(watch.metrics().frame("singular_value")["step"]) == {0}
