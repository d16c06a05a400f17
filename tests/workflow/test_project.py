"""The project's own promises: one list of versions, every figure described."""

import re
import subprocess
import tomllib

import pytest
import yaml

from conftest import ROOT, refused
from lowrank_dynamics.config.figures import FIGURES, require_sources


def test_nothing_depends_on_links() -> None:
    """Not every checkout or archive can make them."""
    staged = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in staged.splitlines() if line.startswith("120000")] == []


def test_a_figure_of_no_experiment_is_refused() -> None:
    with refused("figure overview is drawn from 'case_study', which is no experiment; correct its"):
        require_sources(["theory_setting"])


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if not figure.table])
def test_every_figure_has_a_caption(name: str) -> None:
    assert len((ROOT / "workflow" / "report" / f"{name}.rst").read_text()) > 80


def test_a_cluster_gets_the_training_and_the_features_alone() -> None:
    """Everything else takes seconds, and runs where Snakemake does."""
    sent = set()
    for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        _, *parts = re.split(r"^(?:rule|checkpoint) (\w+):", path.read_text(), flags=re.MULTILINE)
        for name, content in zip(parts[::2], parts[1::2], strict=True):
            if "    localrule: True\n" not in content:
                sent.add(name)
    assert sent == {"train", "features"}


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / file).read_text(), re.MULTILINE))


def test_every_dependency_is_pinned_and_users_get_none_of_the_tools() -> None:
    users, developers = pins("requirements.txt"), pins("requirements-dev.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {*project["dependencies"], *extras["workflow"]}
    for requirement in needed | set(extras["dev"]):
        name, _, lowest = requirement.replace(".", "-", requirement.startswith("ruamel")).partition(
            ">="
        )
        pinned = users if requirement in needed else developers
        assert name in pinned, f"{name} is not pinned: run `make lock`"
        assert [int(part) for part in lowest.split(".") if part] <= [
            int(part) for part in pinned[name].split(".")[:2]
        ]
    assert users.items() < developers.items()
    assert not users.keys() & {"pytest", "mypy", "ruff", "selenium", "hypothesis"}
    assert users["torch"] == "2.13.0"
    assert all(
        "make lock" in (ROOT / file).read_text()
        for file in ("requirements.txt", "requirements-dev.txt")
    )


def test_packages_of_the_librarys_tests_change_none_of_the_others() -> None:
    """They are pinned apart, and the package needs none of them."""
    further, developers = pins("requirements-library.txt"), pins("requirements-dev.txt")
    assert not further.keys() & developers.keys()
    assert {"transformers", "peft", "lightning", "opacus"} <= further.keys()
    for path in (ROOT / "workflow" / "lowrank_dynamics").rglob("*.py"):
        imported = re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        assert not further.keys() & set(imported), path


def test_conda_installs_the_same_requirements() -> None:
    """In a file that stands by itself, because Snakemake copies it to where it makes an environment
    from it.
    """
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert {package.split("=")[0] for package in conda} == {"python", "pip"}
    pinned = re.findall(r"^[a-z].*==\S+$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pip == {"pip": pinned}, "run `make lock`"


def test_the_container_runs_the_commands_of_the_readme() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    packages = re.search(r"`apt install ([^`]+)`", (ROOT / "README.md").read_text())
    assert packages
    assert len(lines) <= 10
    assert set(packages[1].split()) <= set(
        next(line for line in lines if "apt-get install" in line).split()
    )
    assert 'ENTRYPOINT ["make"]' in lines


def test_make_lists_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    said = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (figures .*)$", makefile, re.MULTILINE)
    assert re.findall(r"^  ([a-z-]+) ", said, re.MULTILINE) == phony.split()
