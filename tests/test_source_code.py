"""What a job's numbers depend on: the modules that its entry imports, and no others."""

import os
from pathlib import Path

import pytest

from conftest import ROOT
from lowrank_dynamics.source_code import PACKAGE, sources


def modules(*entries: str) -> set[str]:
    """Return the names of the modules, below the package, that entries depend on; of a package, its
    `__init__`.
    """
    found = [Path(path).resolve().relative_to(PACKAGE) for path in sources(*entries)]
    return {".".join(path.with_suffix("").parts) for path in found}


def test_training_depends_on_what_it_imports_and_nothing_else() -> None:
    """Both the direct and the indirect imports count; the tables of names and the package's version
    do not.
    """
    found = modules("training.jobs")
    assert {
        "training.jobs",
        "training.loop",
        "training.build",
        "models.subspaces",
        "source_code",
    } <= found
    assert {"training.__init__", "training.observables.__init__"} <= found
    assert not {
        name for name in found if name.partition(".")[0] in {"figures", "report", "analysis", "cli"}
    }
    assert not found & {"config.registries", "__init__", "training.watch", "data.fashion_mnist"}


def test_a_figure_does_not_depend_on_training() -> None:
    found = modules("figures.heads")
    assert {"figures.heads", "figures.style", "storage.metrics"} <= found
    assert not {name for name in found if name.partition(".")[0] in {"training", "models", "data"}}
    assert modules("figures.heads", "training.jobs") == found | modules("training.jobs")


def test_imports_in_functions_count() -> None:
    """The module that fetches imports torch, and what needs it, only in a function."""
    assert {"data.cifar10", "data.vgg16", "storage.tensors"} <= modules("data.external")


def test_a_package_is_an_entry_too() -> None:
    assert modules("training.observables") == {"training.observables.__init__"}


@pytest.mark.parametrize("entries", [("training.walk",), ("training.jobs", "pandas")], ids=str)
def test_an_unknown_module_is_named(entries: tuple[str, ...]) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"lowrank_dynamics has no module {entries[-1]}"):
        sources(*entries)


def test_paths_are_sorted_and_relative_to_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in (ROOT, tmp_path):
        monkeypatch.chdir(folder)
        found = sources("errors")
        assert found == [os.path.relpath(PACKAGE / "errors.py", folder)]
        assert all(Path(path).is_file() and not Path(path).is_absolute() for path in found)
    monkeypatch.chdir(ROOT)
    assert sources("errors") == ["workflow/lowrank_dynamics/errors.py"]
    assert sources("training.jobs") == sorted(sources("training.jobs"))
