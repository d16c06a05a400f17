"""The examples of docs/extending.md do what it says when they are carried out to the letter."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from conftest import ROOT
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.tables import read
from runs import SMOKE, planned, snakemake

pytestmark = pytest.mark.slow

PLACE = re.compile(
    r"(?:In `(?P<edited>[^`]+)`(?:, below `(?P<below>[^`]+)`)?, "
    r"(?:after `(?P<after>[^`]+)`|in place of `(?P<old>[^`]+)`)"
    r"|At the end of `(?P<ended>[^`]+)`|A new file `(?P<new>[^`]+)`):\n\n$"
)
BLOCK = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)


class Edit(NamedTuple):
    """What is to be written where, as the sentence before a block says."""

    where: dict[str, str]
    text: str

    def apply(self, folder: Path) -> None:
        file = folder / (self.where.get("edited") or self.where.get("ended") or self.where["new"])
        if "new" in self.where:
            assert not file.exists()
            file.write_text(self.text)
            return
        before = file.read_text()
        file.write_text(before + self.text if "ended" in self.where else self._edited(before))

    def _edited(self, before: str) -> str:
        start = before.index(self.where.get("below", ""))
        if "after" in self.where:
            assert before.count(self.where["after"], start) == 1
            end = before.index("\n", before.index(self.where["after"], start)) + 1
            return before[:end] + self.text + before[end:]
        at = before.index(self.where["old"], start)
        return before[:at] + self.text.strip() + before[at + len(self.where["old"]) :]


def example(heading: str) -> tuple[list[Edit], list[list[str]]]:
    """Return the edits of a section of the document, and its commands."""
    section = (
        (ROOT / "docs" / "extending.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    )
    edits, commands = [], []
    for language, text, place in blocks(section):
        if language == "sh":
            commands += [shlex.split(line) for line in text.splitlines()]
        else:
            assert place, f"nothing says where this goes:\n{text}"
            edits.append(
                Edit({name: value for name, value in place.groupdict().items() if value}, text)
            )
    return edits, commands


def blocks(section: str) -> Iterator[tuple[str, str, re.Match[str] | None]]:
    for block in BLOCK.finditer(section):
        yield block[1], block[2], PLACE.search(section[: block.start()])


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def carry_out(heading: str, project: Path) -> set[str]:
    """Do what a section says, and return what a run of everything would have trained after its
    edits.
    """
    edits, commands = example(heading)
    for edit in edits:
        edit.apply(project)
    plan = planned(project)
    for program, *arguments in commands:
        assert (program, *arguments[:4]) == ("snakemake", "--cores", "2", *SMOKE)
        run = snakemake(project, *arguments[2:])
        assert run.returncode == 0, run.stderr
    return set(re.findall(r"^ *Job \d+: Train (.*), trials 0-1$", plan, re.MULTILINE))


def found(project: Path, experiment: str) -> Path:
    return project / "results" / "smoke" / "metrics" / f"{experiment}.parquet"


def values(project: Path, experiment: str, column: str) -> list[Any]:
    return pq.read_table(found(project, experiment))[column].to_pylist()


def test_an_activation(project: Path) -> None:
    assert carry_out("An activation", project) == {"theory_setting bent_identity-full"}
    assert set(values(project, "theory_setting", "activation")) == {"elu", "tanh", "bent_identity"}
    assert "bent identity" in (project / "figures" / "smoke" / "figure_3.svg").read_text()


def test_an_optimizer(project: Path) -> None:
    assert carry_out("An optimizer", project) == {"deep_unwhitened elu-full-rmsprop"}
    assert "rmsprop" in values(project, "deep_unwhitened", "variant")
    assert "RMSprop" in (project / "figures" / "smoke" / "figure_5.svg").read_text()


def test_a_data_set(project: Path) -> None:
    before = values(project, "deep_whitened", "value")
    assert carry_out("A data set", project) == {"deep_whitened elu-full", "deep_whitened gelu-full"}
    origins = read_provenance(found(project, "deep_whitened"))["cells"].values()
    assert {origin["settings"]["data"]["source"] for origin in origins} == {"cubes"}
    assert values(project, "deep_whitened", "value") != before


def test_a_figure_of_an_experiment_that_is_there(project: Path) -> None:
    assert carry_out("A figure of an experiment that is there", project) == set()
    assert (project / "figures" / "smoke" / "losses.pdf").exists()


def test_a_figure_without_a_caption_is_named(project: Path) -> None:
    """Before anything runs."""
    edits, _ = example("A figure of an experiment that is there")
    for edit in edits:
        if not edit.where.get("new", "").endswith(".rst"):
            edit.apply(project)
    run = snakemake(project, *SMOKE)
    assert run.returncode != 0
    assert "workflow/report/losses.rst" in run.stdout + run.stderr


def test_an_experiment_with_its_figure_and_its_claim(project: Path) -> None:
    assert carry_out("An experiment with its figure and its claim", project) == {
        "many_classes elu-full"
    }
    assert (project / "figures" / "smoke" / "many_classes.pdf").exists()
    name = "change_is_in_block_1_of_many_classes"
    judged = (
        read(project / "results" / "smoke" / "claims.parquet", COLUMNS)
        .rows.set_index("claim")
        .loc[name]
    )
    assert judged["trials"] == 2
    page = (project / "results" / "smoke" / "report.html").read_text()
    section = page.split('<article id="many_classes"')[1].split("</article>")[0]
    assert judged["statement"] in section
    assert "Many classes" in section


def test_the_document_has_no_other_examples() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "An activation",
        "An optimizer",
        "A data set",
        "A figure of an experiment that is there",
        "An experiment with its figure and its claim",
    ]
