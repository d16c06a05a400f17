"""The project's own promises: one list of versions, code files as inputs, every figure described."""

import ast
import re
import tomllib

import pytest
import yaml

from conftest import ROOT
from lowrank_dynamics.config.files import SCALES, load_settings
from lowrank_dynamics.config.registries import FIGURES

PACKAGE = ROOT / "workflow" / "lowrank_dynamics"
ENTRANCES = {
    "errors",
    "writing",
    "__init__",
    *(str(file.relative_to(PACKAGE).with_suffix("")) for file in PACKAGE.rglob("__init__.py")),
}  # no content
LOADING = {
    *(f"config/data/{path.stem}" for path in (PACKAGE / "config" / "data").glob("[a-z]*.py")),
    "config/files",
    "config/frozen",
    "config/models",
    "config/study",
    "optimizers",
    "vgg/stacks",
}  # what these say is in the settings' digest


REGISTRIES = {"activations", "optimizers"}
CODE_OF_DATA = sorted(
    {
        experiment.data.code
        for scale in SCALES
        for experiment in load_settings(scale, ROOT / "configs").experiments.values()
    }
)
BY_DATA = {module for code in CODE_OF_DATA for module in code}


def imports(module: str) -> set[str]:
    """Return the package's modules that `module` (such as `data/sources`) imports, directly or through others."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for node in ast.walk(ast.parse((PACKAGE / f"{current}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lowrank_dynamics"):
                path = (node.module or "").removeprefix("lowrank_dynamics").removeprefix(".").replace(".", "/")
                names = [path, f"{path}/__init__", *(f"{path}/{name.name}".lstrip("/") for name in node.names)]
                waiting += [name for name in names if name not in seen and (PACKAGE / f"{name}.py").is_file()]
    return seen


def listed(rule_file: str, rule: str = "") -> set[str]:
    """Return the modules that a rule, or the first one of a file, lists as its code."""
    text = (ROOT / "workflow" / "rules" / rule_file).read_text()
    text = re.split(rf"^(?:rule|checkpoint) {rule}", text, flags=re.MULTILINE)[1]
    modules = re.search(r"module=(\[.*?\]|\"[a-z_/]+\")", text, re.DOTALL)
    assert modules
    return {name.removesuffix(".py") for name in re.findall(r'"([a-z0-9_/.]+)"', modules[1])}


def test_the_training_rule_lists_all_the_code_it_runs() -> None:
    """But for what it takes by the data of a cell, and for the registries, whose entry for a cell is a parameter."""
    unused = {"config/files", "config/study", "data/sources"}  # training gets prepared data and settings with a digest
    unused.add("gpus")  # which decides when and where, not what
    needed = imports("cells") | imports("provenance")
    assert needed - ENTRANCES - unused - REGISTRIES - BY_DATA == listed("train.smk")
    for code in CODE_OF_DATA:
        own = set().union(*map(imports, code)) - ENTRANCES - unused - REGISTRIES - (BY_DATA - set(code))
        assert own <= listed("train.smk") | set(code)


def test_the_checkpoint_lists_all_the_code_it_runs() -> None:
    needed = imports("fetching") | imports("data/cifar10") | imports("vgg/weights")
    assert needed - ENTRANCES == listed("data.smk", "fetch:")


@pytest.mark.parametrize("module", ["data/fashion_mnist", "data/cifar10"])
def test_the_preparing_rule_lists_all_the_code_it_runs(module: str) -> None:
    """The module that prepares an experiment's images is one by its settings."""
    assert imports(module) - ENTRANCES == listed("data.smk", "prepare:") | {module}


def test_the_rule_of_features_lists_all_the_code_it_runs() -> None:
    needed = imports("vgg/features") - ENTRANCES - {name for name in LOADING if name.startswith("config/")}
    assert needed - {"activations", "optimizers"} == listed("data.smk", "features:")


def test_the_rules_of_verdicts_list_all_the_code_they_run() -> None:
    registries = {"figures/__init__", "activations"}
    claims = (imports("claims/table") | imports("claims/files")) - ENTRANCES - LOADING - registries
    assert claims == listed("claims.smk")
    assert imports("sensitivity") - ENTRANCES - LOADING - registries - claims == listed("sensitivity.smk") - claims
    compared = imports("comparison") | imports("claims/files")
    assert compared - ENTRANCES - LOADING - registries == listed("compare.smk")


@pytest.mark.parametrize(("rule", "module"), [("card:", "report/cards"), ("claims_page:", "report/claims_page")])
def test_the_rules_of_pages_list_all_the_code_they_run(rule: str, module: str) -> None:
    """And their templates; the code of the verdicts themselves is behind the table that they read."""
    verdicts = imports("claims/table") | imports("claims/files") | {"figures/__init__", *LOADING}
    templates = {f"report/{name}.html.j2" for name in ("page", "macros")} | {f"{module}.html.j2"}
    assert (imports(module) | imports("provenance_files")) - ENTRANCES - verdicts | templates == (
        listed("report.smk", rule) - verdicts | {"provenance_files"}
    )


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_lists_its_modules_and_has_a_caption(name: str) -> None:
    modules = FIGURES[name].modules
    common = {"figures/style", "provenance_files", "metrics", "activations", *LOADING} - set(modules)
    assert imports(modules[0]) - ENTRANCES - common == set(modules)
    assert len((ROOT / "workflow" / "report" / f"{name}.rst").read_text()) > 80


def test_requirements_pin_every_dependency_of_the_project() -> None:
    text = (ROOT / "requirements.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", text, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    for requirement in wanted:
        name, _, lowest = requirement.partition(">=")
        assert name in pinned, f"{name} is not in requirements.txt: run `make lock`"
        assert [int(part) for part in lowest.split(".") if part] <= [int(part) for part in pinned[name].split(".")[:2]]
    assert pinned["torch"] == "2.13.0"
    assert "make lock" in text


def test_conda_installs_the_same_requirements() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert {package.split("=")[0] for package in conda} == {"python", "pip"}
    assert pip == {"pip": ["-r requirements.txt"]}
