"""The whole run at smoke scale from a clean clone, as a user starts it; then what reruns, and what
breaks.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import ROOT, settings_of
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.config.cell import shard_name
from lowrank_dynamics.config.figures import ANIMATED, ANIMATION, FORMATS
from lowrank_dynamics.config.loading import load_study
from lowrank_dynamics.data import external, pixels
from lowrank_dynamics.storage import metrics
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.tables import read
from runs import (
    DRAWN,
    SMOKE,
    assert_same_results,
    copied,
    environment,
    planned,
    snakemake,
    succeeding,
)


def test_the_run_ends_by_saying_where_its_results_are(finished: Path) -> None:
    said = finished.with_suffix(".said").read_text()
    assert "workflow specific profile" in said
    assert re.search(
        rf"The run at smoke scale took .*\n  figures +{len(DRAWN)} in figures/smoke/\n  report ",
        said,
    )
    assert max(map(len, said.splitlines())) < 400
    statements = load_claims(ROOT / "configs" / "statements" / "claims.yaml").claims.values()
    count = sum(statement.role == "claim" for statement in statements)
    nothing = "0 reproduced, 0 partly reproduced, 0 undecided"
    counts = f"{count} claims: {nothing}, {count} not testable, 0 not reproduced."
    assert f"results/smoke/claims.md: {counts}" in said


def test_every_figure_exists_in_every_format(finished: Path) -> None:
    for figure in DRAWN:
        for extension in FORMATS:
            assert (finished / "figures" / "smoke" / f"{figure}.{extension}").stat().st_size > 1_000
    for figure in ANIMATED:
        assert read_provenance(finished / "figures" / "smoke" / f"{figure}.{ANIMATION}")


def test_every_job_left_a_benchmark_and_the_metrics_their_origin(finished: Path) -> None:
    results = finished / "results" / "smoke"
    settings = settings_of("smoke")
    jobs = [
        f"{name}/{cell.name}/{shard_name(shard)}"
        for name, experiment in settings.experiments.items()
        for cell in settings.cells(name)
        for shard in experiment.shards
    ]
    for folder, ending in (("cells", "parquet"), ("benchmarks/train", "tsv")):
        assert {str(path.relative_to(results)) for path in (results / folder).glob("*/*/*")} == {
            f"{folder}/{each}.{ending}" for each in jobs
        }
    found = metrics.read(results / "metrics" / "fashion_mnist.parquet")
    origin = found.provenance["cells"]["gelu-s_big"]
    assert origin["data"]["edition"] == "sample"
    assert origin["libraries"].keys() == {"torch", "numpy", "pyarrow"}
    assert found.settings.data.training_images == 100
    assert (
        "step 20 of 20"
        in (results / "logs" / "train" / "fashion_mnist" / "gelu-s_big" / "0-1.log").read_text()
    )


def test_every_file_answers_what_produced_it(finished: Path) -> None:
    for file in (
        "results/smoke/metrics/vgg_heads.parquet",
        "figures/smoke/figure_7.pdf",
        "results/smoke/claims.parquet",
    ):
        said = succeeding(finished, "python", "-m", "lowrank_dynamics", "provenance", file).stdout
        assert "code: 0.1.0" in said
        assert "scale: smoke" in said
    figure = read_provenance(finished / "figures" / "smoke" / "figure_7.svg")
    for origin in figure["drawn_from"]:
        assert origin["settings"]["seed"] == 2026 if "settings" in origin else origin["cells"]
        assert "embedded sample" in origin["data"]["train-images-idx3-ubyte.gz"]
        assert origin["machine"].endswith("cpu, 1 thread(s)")


def test_every_claim_has_its_page_and_its_row(finished: Path) -> None:
    claims = load_claims(ROOT / "configs" / "statements" / "claims.yaml").claims
    found = read(finished / "results" / "smoke" / "claims.parquet", COLUMNS).rows
    page = (finished / "results" / "smoke" / "claims.md").read_text()
    assert set(found["claim"]) == set(claims)
    assert len(found) == sum(len(claim.expected_cells()) for claim in claims.values())
    assert set(found["verdict"]) == {"not testable"}
    assert (
        found.groupby("claim")["trials"].max() == 2
    ).all()  # each was measured, but a smoke run cannot tell
    assert all(f"## {name}\n" in page for name in claims)


@pytest.mark.slow
def test_a_strict_run_that_refutes_nothing_succeeds(edited: Path) -> None:
    run = snakemake(edited, *SMOKE, "strict_claims=true")
    assert run.returncode == 0, run.stderr
    assert (edited / "results" / "smoke" / "claims.hold").exists()


@pytest.mark.slow
def test_an_alternative_runs_like_a_scale(edited: Path) -> None:
    """And the whole study is planned, each alternative with just its own experiments."""
    alternative = "results/smoke/sensitivity/eps_theory_0.1"
    run = snakemake(edited, *SMOKE, "--", f"{alternative}/claims.parquet")
    assert run.returncode == 0, run.stderr
    found = metrics.read(edited / alternative / "metrics" / "theory_setting.parquet")
    assert found.settings.network.eps == 0.1
    assert set(read(edited / alternative / "claims.parquet", COLUMNS).rows["experiment"]) == {
        "theory_setting"
    }
    plan = planned(edited, "sensitivity", "--printshellcmds")
    assert "figure sensitivity --metrics results/smoke/sensitivity.parquet" in plan
    left = len(
        load_study(ROOT / "configs").alternatives
    )  # one is done, and the declared values are to be judged too
    assert re.search(rf"claims\s+{left}\b", plan)
    assert re.search(r"figure\s+1\b", plan)


@pytest.mark.slow
def test_what_a_killed_run_could_not_download_is_tried_again(tmp_path: Path) -> None:
    """A killed run leaves its note; the next one removes it as it begins, a dry run does not."""
    folder = copied(tmp_path / "project")
    note = folder / "results" / "data" / "fetched" / "vgg16" / external.MISSING
    note.parent.mkdir(parents=True)
    note.write_text("no network\n")
    job = "results/smoke/cells/first_gradient/elu-full/0-1.parquet"
    planned(folder, job)
    assert note.exists()
    run = snakemake(folder, "--no-hooks", job, *SMOKE)
    assert run.returncode == 0, run.stderr
    assert not note.exists()


@pytest.mark.slow
def test_without_the_weights_everything_else_is_there(finished: Path, tmp_path: Path) -> None:
    """The run says which figures are missing and why, and tries again the next time."""
    folder = Path(shutil.copytree(finished, tmp_path / "offline", symlinks=True))
    settings = folder / "configs" / "smoke.yaml"
    settings.write_text(
        settings.read_text()
        .replace("convolutions: tiny", "convolutions: vgg16")
        .replace("size: 16", "size: 32")
    )
    offline = {
        "https_proxy": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    offline |= {
        "LOWRANK_DATA": str(tmp_path / "nothing"),
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    shutil.rmtree(folder / "figures")
    run = snakemake(folder, *SMOKE, **offline)
    assert run.returncode == 0, run.stderr
    drawn = {path.stem for path in (folder / "figures" / "smoke").iterdir()}
    assert drawn == set(DRAWN) - {"figure_7", "figure_15"}
    reason = "no source has the ImageNet weights of VGG-16 .*LOWRANK_DATA"
    assert re.search(f"missing +figure_7, figure_15, because {reason}", run.stdout)
    judged = read(folder / "results" / "smoke" / "claims.parquet", COLUMNS).rows
    assert set(judged["claim"]) == set(
        load_claims(ROOT / "configs" / "statements" / "claims.yaml").claims
    )
    assert (
        "experiment vgg_heads was not run"
        in (folder / "results" / "smoke" / "claims.md").read_text()
    )
    assert "Fetch vgg16" in planned(folder)
    target = Path("results", "smoke", "metrics", "first_gradient.parquet")
    (folder / target).unlink()
    elsewhere = snakemake(folder, *SMOKE, "--", str(target))
    assert re.search(f"missing +figure_7, figure_15, because {reason}", elsewhere.stdout)
    alternative = "results/smoke/sensitivity/head_epochs_200/claims.parquet"
    asked = snakemake(folder, *SMOKE, "--", "figures/smoke/figure_15.png", alternative, **offline)
    assert asked.returncode != 0
    assert re.search(reason, asked.stdout + asked.stderr)
    assert read(folder / alternative, COLUMNS).rows.empty


@pytest.mark.slow
def test_the_commands_do_without_snakemake(finished: Path, tmp_path: Path) -> None:
    """As docs/cluster.md has it: written down where Snakemake is, run where it need not be, taken
    for its own.
    """
    (recipe,) = re.findall(
        r"^\(echo .*> jobs\.sh$", (ROOT / "docs" / "cluster.md").read_text(), re.MULTILINE
    )
    folder = copied(tmp_path)
    recipe = recipe.replace("paper", "smoke").replace("fashion_mnist", "theory_setting")
    subprocess.run(
        recipe, shell=True, cwd=folder, env=environment(), capture_output=True, check=True
    )
    cells = settings_of("smoke").cells("theory_setting")
    assert len((folder / "jobs.sh").read_text().splitlines()) == 1 + len(cells) + 1
    first, second = (succeeding(folder, "sh", "jobs.sh") for _ in range(2))
    assert "theory_setting elu-full: step" in first.stderr
    assert second.stderr == ""  # nothing is left to do
    made = Path("results", "smoke", "metrics", "theory_setting.parquet")
    assert metrics.read(folder / made).table.equals(metrics.read(finished / made).table)
    assert "Nothing to be done" in planned(folder, str(made))


def test_images_and_features_are_named_by_their_content(finished: Path) -> None:
    data = finished / "results" / "data"
    assert sorted(str(path.relative_to(data)) for path in data.rglob("*.safetensors")) == [
        "features/fashion_mnist-100-100-tiny-16-3/test-0-99.safetensors",
        "features/fashion_mnist-100-100-tiny-16-3/train-0-99.safetensors",
        "images/fashion_mnist-100-100.safetensors",
    ]


@pytest.mark.slow
def test_one_trial_a_job_gives_the_same_rows_and_a_further_trial_one_more_job(
    finished: Path, tmp_path: Path
) -> None:
    folder, target = copied(tmp_path), "results/smoke/metrics/theory_setting.parquet"
    alone = ("--config", "scale=smoke", "trials_per_job=1", "--", target)
    run = snakemake(folder, *alone)
    assert run.returncode == 0, run.stderr
    assert metrics.read(folder / target).table.equals(metrics.read(finished / target).table)
    smoke = folder / "configs" / "smoke.yaml"
    smoke.write_text(
        smoke.read_text().replace(
            "theory_setting:\n    activations: [elu, tanh]\n    trials: 2",
            "theory_setting:\n    activations: [elu, tanh]\n    trials: 3",
        )
    )
    plan = snakemake(folder, "-n", *alone).stdout
    jobs = {f"theory_setting {activation}-full, trials 2-2" for activation in ("elu", "tanh")}
    assert set(re.findall(r"^ *Job \d+: Train (.*)$", plan, re.MULTILINE)) == jobs
    one = snakemake(
        folder, "-n", "--config", "scale=smoke", "trials=1", "trials_per_job=1", "--", target
    ).stdout
    assert "Train" not in one  # the first trial is there
    assert "Aggregate" in one


@pytest.mark.slow
@pytest.mark.parametrize("way", ["directory", "snakefile", "module"])
def test_a_run_elsewhere_reads_the_project_and_writes_where_it_is(
    finished: Path, tmp_path: Path, way: str
) -> None:
    """With --directory, from another folder, and as a module of another workflow: the same rows as
    in the project.
    """
    target = Path("results", "smoke", "metrics", "theory_setting.parquet")
    figure = Path("figures", "smoke", "figure_3.png")
    project, elsewhere = copied(tmp_path / "project"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    snakefile = ("--snakefile", str(project / "Snakefile"))
    if way == "module":
        module = (
            f'module lowrank:\n    snakefile: "{project}/Snakefile"\n    config: {{"scale":'
            ' "smoke"}\n\n\n'
        )
        (elsewhere / "Snakefile").write_text(f"{module}use rule * from lowrank as lowrank_*\n")
        run = snakemake(elsewhere, "--", str(target), str(figure))
    elif way == "directory":
        run = snakemake(
            project, "--directory", str(elsewhere), *SMOKE, "--", str(target), str(figure)
        )
    else:
        run = snakemake(elsewhere, *snakefile, *SMOKE, "--", str(target), str(figure))
    assert run.returncode == 0, run.stderr
    assert metrics.read(elsewhere / target).table.equals(metrics.read(finished / target).table)
    assert (elsewhere / figure).exists()
    assert not (project / "results" / "smoke").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["scale=huge"], "--config scale=huge: choose one of"), (["scales=smoke"], "unknown key")],
)
def test_wrong_settings_start_no_job(arguments: list[str], message: str) -> None:
    run = snakemake(ROOT, "-n", "--config", *arguments)
    assert run.returncode != 0
    assert message in run.stdout + run.stderr


@pytest.mark.slow
def test_a_run_by_its_full_path_from_a_crowded_folder(finished: Path, tmp_path: Path) -> None:
    """As a job script or an IDE starts it: no environment is activated, and names need quotes.

    Modules in the working folder are not taken for Python's; the user's own search path still
    counts.
    """
    project, elsewhere = copied(tmp_path / "it's a project"), tmp_path / "it's a run"
    loaded, seen = tmp_path / "what module load brings", tmp_path / "seen"
    for folder in (elsewhere, loaded):
        folder.mkdir()
    for name in ("numpy", "random", "typer"):
        (elsewhere / f"{name}.py").write_text("raise SystemExit('a stray module was imported')\n")
    (loaded / "sitecustomize.py").write_text(f"open({str(seen)!r}, 'a').write('seen\\n')\n")
    program = str(Path(sys.executable).with_name("snakemake"))
    figures = ("figure_3", "figure_7")
    drawn = [f"figures/smoke/{name}.{extension}" for name in figures for extension in FORMATS]
    command = [program, "--cores", "2", "--snakefile", f"{project}/Snakefile", *SMOKE]
    bare = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(loaded)}
    run = subprocess.run(
        [*command, "--", *drawn],
        cwd=elsewhere,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert_same_results(elsewhere, finished, figures)
    assert len(seen.read_text().splitlines()) > 20  # each job


def test_a_path_that_snakemake_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run {1}"
    folder.mkdir()
    run = snakemake(ROOT, "-n", "--directory", str(folder), *SMOKE)
    assert run.returncode == 1
    assert re.search(
        r"^error: the path .*run \{1\} has a [{}], which Snakemake or Python does not",
        run.stderr,
        re.M,
    )
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_a_setting_is_changed_for_one_run(tmp_path: Path) -> None:
    folder, target = copied(tmp_path), "results/smoke/metrics/first_gradient.parquet"
    first = "experiments.first_gradient"
    changes = f"{first}.trials=1 {first}.activations=[silu,relu]"
    run = snakemake(folder, "--config", "scale=smoke", f"set={changes}", "--", target)
    assert run.returncode == 0, run.stderr
    changed = metrics.read(folder / target)
    assert (changed.trials_in_words, changed.activations) == ("1 trial", ["silu", "relu"])


@pytest.mark.slow
def test_trained_weights_are_kept_on_request(edited: Path) -> None:
    """The network that docs/outputs.md makes from them has the accuracy that was measured."""
    cell = edited / "results" / "smoke" / "cells" / "fashion_mnist" / "gelu-s_big"
    target = str(cell.relative_to(edited) / "0-1.safetensors")
    command = ["snakemake", "--cores", "2", *SMOKE, "keep_weights=true", "--", target]
    succeeding(edited, *command)
    page = (ROOT / "docs" / "outputs.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    described = "results/laptop/cells/fashion_mnist/gelu-s_big/0-4.safetensors"
    assert described in code
    scope: dict[str, Any] = {}
    exec(code.replace(described, str(cell / "0-1.safetensors")), scope)
    (images,) = (edited / "results" / "data" / "images").glob("fashion_mnist-100-100.safetensors")
    test = pixels.load(images, torch.float32).test
    assert test is not None
    correct = scope["network"](test.inputs).argmax(dim=0) == test.labels
    measured = metrics.read(cell / "0-1.parquet").frame("test_accuracy")
    ends = measured[(measured["trial"] == 0) & (measured["step"] == measured["step"].max())]
    assert float(correct.float().mean()) == pytest.approx(ends["value"].item())
    assert "Train " not in planned(edited), "without them the cell is as it was"
    (cell / "0-1.parquet").unlink()
    again = str(cell.relative_to(edited) / "0-1.parquet")
    succeeding(edited, "snakemake", "--cores", "2", *SMOKE, "--", again)
    assert not (cell / "0-1.safetensors").exists(), "they may not be of the new metrics"
