"""The documents say what is: their links, paths, commands and the list of modules are those of the
project.
"""

import math
import re
import shlex
from pathlib import Path
from statistics import NormalDist

import pyarrow.parquet as pq
import pytest

from conftest import ROOT, settings_of
from lowrank_dynamics.analysis import comparison
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.analysis.verdicts import Verdict
from lowrank_dynamics.config.loading import load_study
from lowrank_dynamics.config.registries import QUANTITIES
from lowrank_dynamics.storage.metrics import IN_FILES
from lowrank_dynamics.storage.tables import read
from runs import DRAWN, SMOKE, snakemake, succeeding

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "workflow" / "lowrank_dynamics"


def commands(document: Path) -> list[str]:
    """Return the lines of the shell blocks of a document."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def anchors(document: Path) -> set[str]:
    """Return what a link into a document can name: its own anchors, and its headings as they are
    made into such.
    """
    text = document.read_text(encoding="utf-8")
    headings = (
        re.sub(r"[^\w -]", "", heading.lower())
        for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)
    )
    return {
        *re.findall(r'<a id="([\w-]+)">', text),
        *(heading.replace(" ", "-") for heading in headings),
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link, anchor in re.findall(
        r"\]\(([^)#:]*)(?:#([\w-]+))?\)", document.read_text(encoding="utf-8")
    ):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_row_stands_outside_of_its_table(document: Path) -> None:
    prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"^(?!\|).+\n\| .*", prose, re.MULTILINE) == []


RUNNING = ROOT / "docs" / "running.md"


def test_the_documents_name_every_figure() -> None:
    named = re.search(r"draws figures ([\w, ]+) into", " ".join(RUNNING.read_text().split()))
    assert named
    names = {
        f"figure_{name}" if name.isdigit() else name for name in re.split(r", | and ", named[1])
    }
    assert names <= set(DRAWN)
    missing = ", ".join(sorted(set(DRAWN) - names))
    assert not missing, f"docs/running.md says what `make` draws, without {missing}: name it there"


EVALUATION = ROOT / "docs" / "artifact-evaluation.md"


def test_every_claim_is_in_the_tables_of_the_documents() -> None:
    """Their rows are those of the reference, as `make check` compares; here, that none is left
    out.
    """
    claims = load_claims(ROOT / "configs" / "statements" / "claims.yaml").claims
    shown = re.findall(r'^\| <a id="(\w+)"></a>`', EVALUATION.read_text(), re.MULTILINE)
    verdicts = (ROOT / "docs" / "verdicts.md").read_text()
    missing = [
        name
        for name, each in claims.items()
        if name not in shown or f" | {each.statement} | " not in verdicts
    ]
    assert not missing, (
        f"the tables of docs/verdicts.md and docs/artifact-evaluation.md lack {', '.join(missing)}:"
        " keep a run with it as the reference (`tools/keep_reference.py`), give its experiment a"
        " section with a table there, and run `make tables`"
    )
    assert sorted(shown) == sorted(claims)


@pytest.mark.slow
def test_the_commands_for_evaluators_work(finished: Path, tmp_path: Path) -> None:
    """Those of one experiment each, at smoke scale, where nothing is left to be trained."""
    wanted = [
        line.replace("laptop", "smoke")
        for line in commands(EVALUATION)
        if "results/laptop/" in line
    ]
    claims = load_claims(ROOT / "configs" / "statements" / "claims.yaml").claims
    judged_experiments = {claim.experiment for claim in claims.values()}
    assert len(wanted) == 2 * len(judged_experiments)
    made = [shlex.split(line) for line in wanted if line.startswith("snakemake")]
    assert {tuple(arguments[:4]) for arguments in made} == {("snakemake", "--cores", "2", "--")}
    run = snakemake(finished, "-n", *SMOKE, "--", *(arguments[4] for arguments in made))
    assert "Nothing to be done" in run.stdout + run.stderr
    for _, *arguments, output in (
        shlex.split(line) for line in wanted if line.startswith("python")
    ):
        judged = tmp_path / Path(output).name
        succeeding(finished, "python", *arguments, str(judged), "--run", "smoke")
        assert "was not run" not in judged.with_suffix(".md").read_text()


@pytest.mark.slow
def test_the_commands_at_paper_scale_work(finished: Path, tmp_path: Path) -> None:
    """At smoke scale, where nothing is left to be trained, and the comparison elsewhere."""
    lines = [
        line.replace("paper", "smoke") for line in commands(EVALUATION) if "results/paper/" in line
    ]
    train, compare = (
        lines[0].replace("--cores", "--dry-run --cores"),
        lines[1].split(" --output")[0],
    )
    for line in (train, f"{compare} --output {tmp_path}/comparison.parquet"):
        run = succeeding(finished, "bash", "-c", line)
        assert "Nothing to be done" in run.stdout + run.stderr or not line.startswith("snakemake")
    assert "Nothing was compared" in (tmp_path / "comparison.md").read_text()


def test_every_verdict_short_of_reproduced_is_explained() -> None:
    table = read(ROOT / "results" / "reference" / "laptop" / "claims.parquet", COLUMNS).rows
    short = set(table.loc[table["claim_verdict"] != Verdict.REPRODUCED, "claim"])
    explained = (ROOT / "docs" / "claims.md").read_text()
    assert [name for name in short if f"`{name}`" not in explained] == []


def test_the_sensitivity_page_has_every_alternative_and_its_figure() -> None:
    page = (ROOT / "docs" / "sensitivity.md").read_text()
    for choice in load_study(ROOT / "configs").choices.values():
        heading = f"## {choice.label[0].upper()}{choice.label[1:]} (declared: {choice.declared})"
        assert heading in page
        section = page.split(heading)[1].split("\n## ")[0]
        assert f"| declared | {' | '.join(choice.alternatives)} |" in section
    assert "(../figures/reference/laptop/sensitivity.png)" in page


def test_every_column_of_every_table_is_explained() -> None:
    """In docs/outputs.md, where each kind of table has a section of its own."""
    page = (ROOT / "docs" / "outputs.md").read_text()
    sections = re.split(r'<a id="(\w+)"></a>', page.split("## Quantities")[0])[1:]
    explained = {}
    for kind, text in zip(sections[::2], sections[1::2], strict=True):
        explained[kind] = set(re.findall(r"`(\w+)`", text))
    reference = ROOT / "results" / "reference" / "laptop"
    columns = {
        "metrics": IN_FILES,
        "claims": pq.read_schema(reference / "claims.parquet").names,
        "comparison": [*comparison.COLUMNS, "scale"],
        "sensitivity": pq.read_schema(reference / "sensitivity.parquet").names,
    }
    for kind, names in columns.items():
        assert sorted(set(names) - explained[kind]) == [], kind


def test_every_quantity_is_explained() -> None:
    page = (ROOT / "docs" / "outputs.md").read_text().split("## Quantities")[1]
    explained = re.findall(r"`([\w<>]+)`", page)
    patterns = [re.sub("<[a-z]+>", "[a-z]+", quantity) for quantity in explained]
    unexplained = [name for name in QUANTITIES if not re.fullmatch("|".join(patterns), name)]
    assert unexplained == []


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == rooms
    for name in re.findall(rf"`((?:{'|'.join(rooms)})/[\w/]+\.py)`", text):
        assert (PACKAGE / name).exists(), name


@pytest.mark.slow
def test_every_command_of_the_documents_is_one_of_the_projects() -> None:
    """The commands that train are run by the workflow's tests; those of the package are run here,
    the rest is made.
    """
    known = {
        ". .venv/bin/activate",
        "make",
        "make test",
        "make test-all",
        "snakemake --cores 2",
        "snakemake --profile profiles/slurm --config scale=paper",
    }
    others = [
        document for document in DOCUMENTS if document.name != "extending.md"
    ]  # of which test_extending.py is
    for line in (line.strip() for document in others for line in commands(document)):
        elsewhere = re.search(
            r"results/(laptop|paper)/", line
        )  # run by the tests above, and by test_workflow.py
        if not line or line in known or elsewhere:
            continue
        assert line.startswith("python "), line
        succeeding(ROOT, *shlex.split(line))


def test_the_declared_values_are_those_of_the_settings() -> None:
    text = (ROOT / "docs" / "declared-choices.md").read_text()
    paper = settings_of("paper")
    case, theory = paper.of_variant("case_study"), paper.of_variant("theory_setting")
    shown = [
        f"s = {case.data.model_dump()['separation']:g} standard deviations",
        f"N = {case.data.model_dump()['samples']}",
        f"m = d = {case.network.width}",
        f"eta = {theory.training.learning_rate:g}",
        f"eta = {case.training.learning_rate:g}",
        f"{case.training.steps:,} steps",
    ]
    assert [value for value in shown if value not in text] == []


def test_the_declared_values_follow_from_their_rules() -> None:
    """The separation is the smallest integer and eta the one digit that docs/declared-choices.md
    derives.
    """
    case = settings_of("paper").of_variant("case_study")
    data, depth = case.data.model_dump(), case.network.depth
    misplaced = [
        data["samples"] * (data["classes"] - 1) * NormalDist().cdf(-s / 2) for s in range(1, 20)
    ]
    assert data["separation"] == 1 + next(i for i, expected in enumerate(misplaced) if expected < 1)
    bound = 1 / (depth * (data["samples"] / data["classes"]) ** ((depth - 1) / depth))
    assert case.training.learning_rate == pytest.approx(math.floor(bound * 1000) / 1000)
