"""The report: everything is on it, it asks for nothing else, and a browser shows, searches and
prints it.
"""

import base64
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from conftest import ROOT
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.figures import FIGURES, OURS, sortable, title
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.report.production import produced
from lowrank_dynamics.storage import metrics
from runs import DRAWN, SMOKE, snakemake, succeeding

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="there is no chromium with its driver: apt install chromium chromium-driver",
)
CLAIMS = load_claims(ROOT / "configs" / "claims.yaml").claims
REPORT = Path("results", "smoke", "report.html")


@contextmanager
def opened(page: Path, width: int = 1400) -> Iterator[WebDriver]:
    """Open a page in a browser that shows it to nobody, and see at the end that no script
    failed.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()


@in_a_browser
def test_every_figure_is_on_the_page_with_what_belongs_to_it(finished: Path) -> None:
    with opened(finished / REPORT) as driver:
        for name in DRAWN:
            figure = driver.find_element(By.ID, name)
            picture = figure.find_element(By.TAG_NAME, "img")
            with Image.open(finished / "figures" / "smoke" / f"{name}.png") as drawn:
                assert int(picture.get_property("naturalWidth")) == drawn.width
            assert picture.is_displayed()
            assert figure.find_element(By.CSS_SELECTOR, "h2, h3").text == title(name)
            assert (ROOT / "workflow" / "report" / f"{name}.rst").read_text().strip() in figure.text
            assert all(
                claim.statement in figure.text for claim in CLAIMS.values() if claim.figure == name
            )
            assert "in this run at paper scale" in figure.text
        assert (
            driver.execute_script(
                "return performance.getEntriesByType('resource').map((each) => each.name)"
            )
            == []
        )


@in_a_browser
def test_the_claims_can_be_searched_and_filtered(finished: Path) -> None:
    with opened(finished / REPORT) as driver:
        rows = driver.find_elements(By.CSS_SELECTOR, "tr.claim")
        assert len(rows) == len(CLAIMS)
        search = driver.find_element(By.ID, "search")
        first = next(iter(CLAIMS.values()))
        for wanted, found in (
            ("figure 1", sum(claim.figure == "figure_1" for claim in CLAIMS.values())),
            (f"{title(first.figure)}, {first.statement[:30]}", 1),
            ("never to be found", 0),
            ("", len(CLAIMS)),
        ):
            search.clear()
            search.send_keys(wanted or " ")
            assert sum(row.is_displayed() for row in rows) == found, wanted
            assert f"{found} of {len(CLAIMS)} shown" in driver.find_element(By.ID, "shown").text
        driver.find_element(By.CSS_SELECTOR, "input[value='not testable']").click()
        assert not any(row.is_displayed() for row in rows)
        driver.find_element(By.CSS_SELECTOR, "#figure_6 ul.verdicts a").click()
        followed = driver.find_element(By.CSS_SELECTOR, "tr.claim:target")
        assert followed.is_displayed(), "a link leads to a claim that a filter hides"
        assert followed.find_element(By.TAG_NAME, "table").is_displayed(), "its cells are folded"


@in_a_browser
def test_nothing_is_wider_than_a_phone(finished: Path) -> None:
    with opened(finished / REPORT, width=400) as driver:
        assert driver.execute_script("return document.documentElement.scrollWidth") == 400
        assert driver.find_element(By.CSS_SELECTOR, "#contents summary").is_displayed()
        assert not driver.find_element(By.CSS_SELECTOR, "#contents ul").is_displayed()


@in_a_browser
def test_every_figure_is_printed(finished: Path) -> None:
    with opened(finished / REPORT) as driver:
        printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    found = re.findall(rb"/Subtype /Image\s.*?/Width (\d+)\s.*?/Height (\d+)", printed, re.DOTALL)
    sizes = Counter((int(width), int(height)) for width, height in found)
    for name in DRAWN:
        with Image.open(finished / "figures" / "smoke" / f"{name}.png") as drawn:
            sizes[drawn.size] -= 1
    assert min(sizes.values()) >= 0, sizes


@pytest.mark.slow
def test_the_studies_beyond_the_paper_have_a_part_of_their_own(
    finished: Path, tmp_path: Path
) -> None:
    """Once they are run; their findings are told apart from the paper's claims."""
    assert OURS not in (finished / REPORT).read_text()
    folder = Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))
    for targets in (("--", "beyond"), ()):
        run = snakemake(folder, *SMOKE, *targets)
        assert run.returncode == 0, run.stderr
    outcome = succeeding(
        folder, "python", "-m", "lowrank_dynamics", "outcome", "--scale", "smoke/beyond"
    ).stdout
    assert "0 reproduced, 0 partly" in outcome
    page = unescape((folder / REPORT).read_text())
    part = page.split(f"<h2>{OURS}</h2>")[1].split("</section>")[0]
    for name, finding in load_claims(ROOT / "configs" / "findings.yaml").claims.items():
        assert f'<tr class="finding" id="claim-{name}"' in part
        assert (
            finding.statement
            in part.split(f'<article id="{finding.figure}"')[1].split("</article>")[0]
        )
    assert part.count('<img src="data:') == sum(figure.part == OURS for figure in FIGURES.values())
    assert page.count('<tr class="claim"') == len(CLAIMS)
    assert_links_lead_somewhere(page)


def assert_links_lead_somewhere(page: str) -> None:
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)


def test_every_link_leads_to_a_place_on_the_page_and_back(finished: Path) -> None:
    page = (finished / REPORT).read_text()
    assert_links_lead_somewhere(page)
    for name, claim in CLAIMS.items():
        row = page.split(f'<tr class="claim" id="claim-{name}"')[1].split("</tr>\n<tr class=")[0]
        assert f'href="#{claim.figure}"' in row
        section = page.split(f'<article id="{claim.figure}"')[1].split("</article>")[0]
        assert f'href="#claim-{name}"' in section


def test_the_page_is_one_file_of_moderate_size(finished: Path) -> None:
    page = (finished / REPORT).read_text()
    assert len(page) < 10e6
    assert (
        re.findall(r'(?:src|srcset|action|data|poster)="(?!data:)[^"]*"|@import|url\(', page) == []
    )
    assert re.findall(r'<link[^>]*href="(?!data:,")[^"]*"', page) == []


def test_it_says_what_produced_a_figure_and_what_the_scale_reduced(finished: Path) -> None:
    page = unescape((finished / REPORT).read_text())
    for said in ("embedded sample, sha256", "torch 2.", "cpu, 1 thread(s)", "seed: 2026", "host "):
        assert said in page, said
    section = page.split('<article id="figure_3"')[1].split("</article>")[0]
    assert "<tr><td>trials</td><td>2</td><td>10</td></tr>" in section
    assert (
        "<tr><td>activations</td><td>elu, tanh</td><td>elu, gelu, silu, tanh</td></tr>" in section
    )


def test_a_figure_that_was_not_drawn_is_said_to_be_missing(finished: Path, tmp_path: Path) -> None:
    drawn = [f"figures/smoke/{name}.png" for name in DRAWN if name != "figure_15"]
    places = (
        "--results",
        "results/smoke",
        "--captions",
        "workflow/report",
        "--output",
        str(tmp_path / "report.html"),
    )
    succeeding(
        finished, "python", "-m", "lowrank_dynamics", "report", *drawn, *places, "--scale", "smoke"
    )
    page = (tmp_path / "report.html").read_text()
    section = page.split('<article id="figure_15"')[1].split("</article>")[0]
    assert "Not drawn in this run" in section
    assert page.count("Not drawn in this run") == 1


def test_a_run_of_fewer_trials_is_said_to_be(finished: Path, tmp_path: Path) -> None:
    """In the report, in claims and in the comparison, as in the figure itself."""
    results = tmp_path / "results" / "smoke"
    run = metrics.read(finished / "results" / "smoke" / "metrics" / "theory_setting.parquet")
    file = results / "metrics" / "theory_setting.parquet"
    metrics.write(run.within(1, run.activations, ["full"]), file)
    captions, report = ("--captions", "workflow/report"), tmp_path / "report.html"
    commands = (
        ("figure", "figure_3", "--metrics", str(file), "--output", str(tmp_path / "figure_3")),
        ("claims", str(file), "--output", str(results / "claims.parquet")),
        (
            "compare",
            str(file),
            "--reference",
            str(tmp_path / "none"),
            "--output",
            str(results / "comparison.parquet"),
        ),
        (
            "report",
            str(tmp_path / "figure_3.png"),
            "--results",
            str(results),
            *captions,
            "--output",
            str(report),
        ),
    )
    for command in commands:
        succeeding(finished, "python", "-m", "lowrank_dynamics", *command, "--scale", "smoke")
    assert ">1 trial<" in (tmp_path / "figure_3.svg").read_text()
    count = sum(claim.experiment == "theory_setting" for claim in CLAIMS.values())
    assert (
        f"Judged by fewer trials than the scale has: {count}."
        in (results / "claims.md").read_text()
    )
    page = report.read_text()
    assert f"Judged by fewer trials than the scale has: {count}." in page
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
    assert all(sortable(title(name)) in report for name in DRAWN)
    assert "All figures and claims" in report


def test_what_a_run_reduced_is_what_its_provenance_says(finished: Path) -> None:
    smoke, paper = (load_settings(scale, ROOT / "configs") for scale in ("smoke", "paper"))
    case, whole = (each.experiment("case_study") for each in (smoke, paper))
    assert differences(whole, whole) == []
    changes = [
        Difference("trials", 2, 10),
        Difference("data.samples", 64, 1000),
        Difference("training.steps", 60, 2500),
        Difference("observe.singular_structure", 20, 25),
    ]
    assert differences(case, whole) == changes
    file = finished / "results" / "smoke" / "metrics" / "case_study.parquet"
    run = produced("case_study", file, "smoke", paper)
    assert run.reductions == changes
    assert (run.trials, len(run.cells)) == (2, len(smoke.cells("case_study")))
    assert produced("case_study", file, "smoke", smoke).reductions == []


def test_figures_are_sorted_by_their_numbers() -> None:
    assert sorted(map(sortable, ("Figure 14", "Figure 6", "Figure 2"))) == [
        "Figure  2",
        "Figure  6",
        "Figure 14",
    ]


def test_every_part_is_named_in_the_contents(finished: Path) -> None:
    contents = (finished / REPORT).read_text().split('<nav id="contents"')[1].split("</nav>")[0]
    for name in DRAWN:
        assert f">{title(name)}</a>" in contents or name == "overview"
    parts = {FIGURES[name].part for name in DRAWN if name != "overview"}
    assert all(part in contents for part in parts)
