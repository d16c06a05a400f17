"""The report: all is on it, it asks for nothing else, a browser shows, searches and prints it."""

import base64
import re
import shutil
from collections import Counter
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from browser import in_a_browser, opened
from conftest import ROOT, run_named, settings_of
from lowrank_dynamics.analysis import comparison, readable
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.analysis.table import COLUMNS
from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.figures import FIGURES, OURS, SUMMARY, sortable, title
from lowrank_dynamics.config.folder import CLAIMS as CLAIMS_FILE
from lowrank_dynamics.config.folder import FINDINGS
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.report.experiment_records import experiment_record
from lowrank_dynamics.report.page import write_page
from lowrank_dynamics.storage import metrics, tables
from runs import DRAWN, LOWRANK, SMOKE, snakemake, succeeding

STATEMENTS = load_claims(ROOT / "configs" / CLAIMS_FILE).claims
CLAIMS = {name: one for name, one in STATEMENTS.items() if one.role == "claim"}
CAPTIONS = ROOT / "workflow" / "report"


@pytest.fixture
def smoke(finished: Path) -> Run:
    return run_named("smoke", finished)


@pytest.fixture
def page(smoke: Run) -> str:
    return smoke.report.read_text()


def between(page: str, start: str, end: str) -> str:
    return page.split(start)[1].partition(end)[0]


def section(page: str, figure: str) -> str:
    return between(page, f'<article id="{figure}"', "</article>")


def row(page: str, claim: str) -> str:
    return between(page, f'id="claim-{claim}"', '</tr>\n<tr class="')


def size(run: Run, figure: str) -> tuple[int, int]:
    """Return the width and the height of a figure in pixels."""
    with Image.open(run.figure(figure, "png")) as picture:
        return picture.size


@in_a_browser
def test_every_figure_is_on_the_page_with_what_belongs_to_it(smoke: Run) -> None:
    with opened(smoke.report) as driver:
        for name in DRAWN:
            figure = driver.find_element(By.ID, name)
            picture = figure.find_element(By.TAG_NAME, "img")
            width, _ = size(smoke, name)
            assert int(picture.get_property("naturalWidth")) == width
            assert picture.is_displayed()
            assert figure.find_element(By.CSS_SELECTOR, "h2, h3").text == title(name)
            assert (CAPTIONS / f"{name}.rst").read_text().strip() in figure.text
            keys_are_shown = "in this run at paper scale" in figure.text
            before_claims = FIGURES[name].part == SUMMARY
            assert keys_are_shown != before_claims, "its keys come before the first claim"
        for claim in STATEMENTS.values():
            assert claim.statement in driver.find_element(By.ID, claim.figure).text
        assert driver.execute_script("return performance.getEntriesByType('resource')") == []


@pytest.mark.slow
@in_a_browser
def test_the_claims_can_be_searched_and_filtered(smoke: Run) -> None:
    first = next(iter(CLAIMS.values()))
    of_figure_1 = sum(claim.figure == "figure_1" for claim in CLAIMS.values())
    with opened(smoke.report) as driver:
        rows = driver.find_elements(By.CSS_SELECTOR, "tr.claim")
        assert len(rows) == len(CLAIMS)
        search = driver.find_element(By.ID, "search")
        for words, count in (
            ("figure 1", of_figure_1),
            (f"{title(first.figure)}, {first.statement[:30]}", 1),
            ("never to be found", 0),
            (" ", len(CLAIMS)),
        ):
            search.clear()
            search.send_keys(words)
            assert sum(row.is_displayed() for row in rows) == count, words
            assert f"{count} of {len(CLAIMS)} shown" in driver.find_element(By.ID, "shown").text
        driver.find_element(By.CSS_SELECTOR, "input[value='not testable']").click()
        assert not any(row.is_displayed() for row in rows)
        driver.find_element(By.CSS_SELECTOR, "#figure_6 ul.verdicts a").click()
        followed = driver.find_element(By.CSS_SELECTOR, "tr.claim:target")
        assert followed.is_displayed(), "a link leads to a claim that a filter hides"
        assert followed.find_element(By.TAG_NAME, "table").is_displayed(), "its cells are folded"
        driver.find_element(
            By.CSS_SELECTOR, "#bound ul.verdicts a[href='#claim-updates_are_bounded']"
        ).click()
        check = driver.find_element(By.CSS_SELECTOR, "tr.check:target")
        assert check.find_element(By.TAG_NAME, "table").is_displayed(), "a check's cells are folded"


@pytest.mark.slow
@in_a_browser
def test_an_animation_has_a_slider(smoke: Run) -> None:
    with opened(smoke.report) as browser:
        shown = browser.find_element(By.ID, "emergence")
        picture, slider = (
            shown.find_element(By.TAG_NAME, "img"),
            shown.find_element(By.CSS_SELECTOR, "input[type=range]"),
        )
        seen = {picture.get_attribute("src")}
        for _ in range(int(slider.get_attribute("max") or 0)):
            slider.send_keys(Keys.ARROW_LEFT)
            seen.add(picture.get_attribute("src"))
        with Image.open(smoke.figure("emergence", "gif")) as animation:
            assert len(seen) == animation.n_frames
        shown.find_element(By.TAG_NAME, "button").click()
        last = slider.get_attribute("max")
        WebDriverWait(browser, 10).until(lambda _: slider.get_attribute("value") == last)


@pytest.mark.slow
@in_a_browser
def test_nothing_is_wider_than_a_phone(smoke: Run) -> None:
    with opened(smoke.report, width=400) as driver:
        assert driver.execute_script("return document.documentElement.scrollWidth") == 400
        assert driver.find_element(By.CSS_SELECTOR, "#contents summary").is_displayed()
        assert not driver.find_element(By.CSS_SELECTOR, "#contents ul").is_displayed()


@pytest.mark.slow
@in_a_browser
def test_every_figure_is_printed(smoke: Run) -> None:
    with opened(smoke.report) as driver:
        printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    image = rb"/Subtype /Image\s.*?/Width (\d+)\s.*?/Height (\d+)"
    sizes = Counter()
    for width, height in re.findall(image, printed, re.DOTALL):
        sizes[int(width), int(height)] += 1
    for name in DRAWN:
        sizes[size(smoke, name)] -= 1
    assert min(sizes.values()) >= 0, sizes


@pytest.mark.slow
def test_the_studies_beyond_the_paper_have_a_part_of_their_own(
    finished_beyond: Path, page: str, tmp_path: Path
) -> None:
    """Once they are run; their findings are told apart from the paper's claims."""
    assert OURS not in page
    folder = Path(shutil.copytree(finished_beyond, tmp_path / "project", symlinks=True))
    run = snakemake(folder, *SMOKE)
    assert run.returncode == 0, run.stderr
    outcome = succeeding(folder, *LOWRANK, "outcome", "--run", "smoke/beyond").stdout
    assert "0 reproduced, 0 partly reproduced" in outcome
    page = unescape(run_named("smoke", folder).report.read_text())
    part = between(page, f"<h2>{OURS}</h2>", "</section>")
    findings = load_claims(ROOT / "configs" / FINDINGS).claims
    for name, finding in findings.items():
        kind = "finding" if finding.role == "claim" else "check"
        assert f'<tr class="{kind}" id="claim-{name}"' in part
        assert finding.statement in section(part, finding.figure)
    assert part.count('<img src="data:') == sum(figure.part == OURS for figure in FIGURES.values())
    assert page.count('<tr class="claim"') == len(CLAIMS)
    checks = [one for one in [*STATEMENTS.values(), *findings.values()] if one.role == "check"]
    assert page.count('<tr class="check"') == len(checks)
    assert_links_lead_somewhere(page)


def assert_links_lead_somewhere(page: str) -> None:
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)


def test_every_link_leads_to_a_place_on_the_page_and_back(page: str) -> None:
    assert_links_lead_somewhere(page)
    for name, claim in STATEMENTS.items():
        assert f'<tr class="{claim.role}" id="claim-{name}"' in page
        assert f'href="#{claim.figure}"' in row(page, name)
        assert f'href="#claim-{name}"' in section(page, claim.figure)


@pytest.fixture
def kept(tmp_path: Path) -> Run:
    """Return a laptop run with the verdicts of the reference, on findings too, and its report
    without pictures.
    """
    project, run = run_named("laptop", ROOT), run_named("laptop", tmp_path)
    for of_project, judged in ((project, run), (project.beyond, run.beyond)):
        judged.results.mkdir(parents=True)
        shutil.copy(of_project.reference / "claims.parquet", judged.table("claims"))
    nothing = tables.Table(pd.DataFrame(columns=comparison.COLUMNS), {})
    tables.write_without_page(nothing, run.table("comparison"))
    write_page(run, [], CAPTIONS, run.report)
    return run


def test_every_claim_is_shown_by_the_cell_that_decides_it(kept: Run) -> None:
    page = unescape(kept.report.read_text())
    claims = readable.claims(tables.read(kept.table("claims"), COLUMNS).rows)
    for claim in claims.to_dict("records"):
        shown = row(page, claim["claim"])
        assert f'<td data-label="decided by">{claim["cell"]}</td>' in shown
        assert f'<td data-label="measured there">{claim["measured"]}</td>' in shown
        assert claim["verdict"] in shown


def test_claims_findings_and_checks_are_each_counted_apart(kept: Run) -> None:
    project = run_named("laptop", ROOT).beyond
    source = kept.beyond.metrics("smoothness")
    source.parent.mkdir()
    shutil.copy(project.reference / source.name, source)
    write_page(kept, [project.reference_figures / "smoothness.png"], CAPTIONS, kept.report)
    page = kept.report.read_text()
    strip = between(page, '<div class="strip"', '<p class="legend">')
    assert strip.count('<a class="cell') == len(CLAIMS)
    findings = {"claim": 0, "check": 0}
    for finding in load_claims(ROOT / "configs" / FINDINGS).claims.values():
        findings[finding.role] += 1
    part = between(page, f"<h2>{OURS}</h2>", "</section>")
    assert f"Of {findings['claim']} expectations of ours" in part
    assert part.count('<tr class="finding"') == findings["claim"]
    assert part.count('<tr class="check"') == findings["check"]


def test_checks_that_cannot_be_tested_do_not_count_as_failed(kept: Run) -> None:
    table = tables.read(kept.table("claims"), COLUMNS)
    count = len(STATEMENTS) - len(CLAIMS)
    page = kept.report.read_text()
    assert f"{count} of the {count} that can be tested here hold." in page
    untested = table.rows.assign(verdict="not testable", claim_verdict="not testable")
    tables.write_without_page(table._replace(rows=untested), kept.table("claims"))
    write_page(kept, [], CAPTIONS, kept.report)
    said = between(kept.report.read_text(), "<h3>Checks of our code</h3>", "</p>")
    assert said.endswith("None can be tested here.")


def test_the_page_is_one_file_of_moderate_size(page: str) -> None:
    assert len(page) < 10e6
    external = r'(?:src|srcset|action|data|poster)="(?!data:)[^"]*"|@import|url\('
    assert re.findall(external, page) == []
    assert re.findall(r'<link[^>]*href="(?!data:,")[^"]*"', page) == []


def test_it_says_what_produced_a_figure_and_what_the_scale_reduced(page: str) -> None:
    text = unescape(page)
    for said in ("embedded sample, sha256", "torch 2.", "cpu, 1 thread(s)", "seed: 2026", "host "):
        assert said in text, said
    reduced = section(text, "figure_3")
    assert "<tr><td>trials</td><td>2</td><td>10</td></tr>" in reduced
    activations = "<td>activations</td><td>elu, tanh</td><td>elu, gelu, silu, tanh</td>"
    assert f"<tr>{activations}</tr>" in reduced


@pytest.mark.slow
def test_a_figure_that_was_not_drawn_is_said_to_be_missing(finished: Path, tmp_path: Path) -> None:
    drawn = [f"figures/smoke/{name}.png" for name in DRAWN if name != "figure_15"]
    report = tmp_path / "report.html"
    places = ["--captions", str(CAPTIONS), "--output", str(report), "--run", "smoke"]
    succeeding(finished, *LOWRANK, "report", *drawn, *places)
    page = report.read_text()
    assert "Not drawn in this run" in section(page, "figure_15")
    assert page.count("Not drawn in this run") == 1


@pytest.mark.slow
def test_a_run_of_fewer_trials_is_said_to_be(smoke: Run, tmp_path: Path) -> None:
    """In the report, in claims and in the comparison, as in the figure itself."""
    fewer, name = run_named("smoke", tmp_path), "theory_setting"
    whole = metrics.read(smoke.metrics(name))
    metrics.write(whole.within(1, whole.activations, ["full"]), fewer.metrics(name))

    def command(*arguments: str | Path, output: Path) -> None:
        strings = [str(argument) for argument in arguments]
        succeeding(tmp_path, *LOWRANK, *strings, "--output", str(output), "--run", "smoke")

    figure, file = fewer.figure("figure_3", "png"), fewer.metrics(name)
    command("figure", "figure_3", "--metrics", file, output=figure.with_suffix(""))
    command("claims", file, output=fewer.table("claims"))
    nowhere = tmp_path / "none"
    nowhere.mkdir()
    command("compare", file, "--reference", nowhere, output=fewer.table("comparison"))
    command("report", figure, "--captions", CAPTIONS, output=fewer.report)
    assert ">1 trial<" in fewer.figure("figure_3", "svg").read_text()
    count = sum(claim.experiment == name for claim in CLAIMS.values())
    judged = f"Judged by fewer trials than the scale has: {count}."
    assert judged in fewer.page("claims").read_text()
    page = fewer.report.read_text()
    assert judged in page
    assert ", in 1 of 2 trials." in page
    assert "<tr><td>trials</td><td>1</td><td>10</td></tr>" in page
    assert "1 trial of 2 networks" in page


def test_snakemake_reports_on_the_run_too(finished: Path, tmp_path: Path) -> None:
    """With the graph and the code of the rules, every figure, and the report."""
    run = snakemake(finished, "--report", str(tmp_path / "report.html"), *SMOKE)
    assert run.returncode == 0, run.stderr
    report = (tmp_path / "report.html").read_text()
    text = re.sub(r"<[^>]+>", "", report)
    assert "python -m lowrank_dynamics train" in text
    for name in DRAWN:
        assert sortable(title(name)) in report
    assert "All figures and claims" in report


def test_what_a_run_reduced_is_what_its_provenance_says(smoke: Run) -> None:
    settings, paper = settings_of("smoke"), settings_of("paper")
    case_study, whole = settings.of_variant("case_study"), paper.of_variant("case_study")
    assert differences(whole, whole) == []
    changes = [
        Difference("trials", 2, 10),
        Difference("data.samples", 64, 1000),
        Difference("training.steps", 60, 2500),
        Difference("observe.singular_structure", 20, 25),
    ]
    assert differences(case_study, whole) == changes
    measured = metrics.read(smoke.metrics("case_study"))
    record = experiment_record(measured, "case_study", paper)
    assert record.reductions == changes
    assert (record.trials, len(record.cells)) == (2, len(settings.cells("case_study")))
    assert experiment_record(measured, "case_study", settings).reductions == []


def test_figures_are_sorted_by_their_numbers() -> None:
    names = sorted(map(sortable, ("Figure 14", "Figure 6", "Figure 2")))
    assert names == ["Figure  2", "Figure  6", "Figure 14"]


def test_every_part_is_named_in_the_contents(page: str) -> None:
    contents = between(page, '<nav id="contents"', "</nav>")
    for name in DRAWN:
        if FIGURES[name].part != SUMMARY:
            assert f">{title(name)}</a>" in contents
            assert FIGURES[name].part in contents
