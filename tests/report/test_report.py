"""The report in a browser: every figure shows, no script fails, the claims can be searched."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from conftest import ROOT
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.config.diff import Difference, differences
from lowrank_dynamics.config.files import load_settings
from lowrank_dynamics.config.registries import FIGURES, sortable, title
from lowrank_dynamics.report.figure_page import reductions
from lowrank_dynamics.storage import metrics
from runs import DRAWN

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="there is no chromium with its driver: apt install chromium chromium-driver"
)
CLAIMS = load_claims(ROOT / "configs" / "claims.yaml").claims


@contextmanager
def opened(page: Path) -> Iterator[WebDriver]:
    """Open a page in a browser that shows it to nobody, and see at the end that no script failed."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        driver.get(page.as_uri())
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()


def awaited(driver: WebDriver, by: str, value: str) -> WebElement:
    return WebDriverWait(driver, 20).until(lambda _: driver.find_elements(by, value))[0]


@in_a_browser
def test_the_report_shows_every_figure_with_its_page(finished: Path) -> None:
    with opened(finished / "results" / "smoke" / "report.html") as driver:
        for part in dict.fromkeys(FIGURES[name].part for name in DRAWN):
            awaited(driver, By.XPATH, f"//*[text()='{part}']").click()
            for name in (name for name in DRAWN if FIGURES[name].part == part):
                awaited(driver, By.XPATH, f"//tr[normalize-space(td)='{title(name)}']//a[@iconname='eye']").click()
                driver.switch_to.frame(awaited(driver, By.TAG_NAME, "iframe"))
                assert awaited(driver, By.TAG_NAME, "h1").text == title(name)
                picture = driver.find_element(By.TAG_NAME, "img")
                with Image.open(finished / "figures" / "smoke" / f"{name}.png") as drawn:
                    assert int(picture.get_property("naturalWidth")) == drawn.width
                text = driver.find_element(By.TAG_NAME, "body").text
                assert (ROOT / "workflow" / "report" / f"{name}.rst").read_text().strip() in text
                assert "What this run reduced" in text
                assert all(claim.statement in text for claim in CLAIMS.values() if claim.figure == name)
                driver.switch_to.default_content()
            awaited(driver, By.XPATH, "//*[text()='Results']").click()


@in_a_browser
def test_the_claims_can_be_searched(finished: Path) -> None:
    with opened(finished / "results" / "smoke" / "pages" / "claims.html") as driver:
        rows = driver.find_elements(By.CSS_SELECTOR, "tr.claim")
        assert len(rows) == len(CLAIMS)
        search = driver.find_element(By.ID, "search")
        for wanted, found in (
            ("figure 1", sum(claim.figure == "figure_1" for claim in CLAIMS.values())),
            ("figure 14, orthogonal", 1),
            ("never to be found", 0),
            ("", len(CLAIMS)),
        ):
            search.clear()
            search.send_keys(wanted or " ")
            assert sum(row.is_displayed() for row in rows) == found, wanted
            assert f"{found} of {len(CLAIMS)} shown" in driver.find_element(By.ID, "shown").text
        driver.find_element(By.CSS_SELECTOR, "input[value='not testable']").click()
        assert not any(row.is_displayed() for row in rows)


def test_the_report_has_the_code_of_the_rules(finished: Path) -> None:
    report = re.sub(r"<[^>]+>", "", (finished / "results" / "smoke" / "report.html").read_text())
    assert "python -m lowrank_dynamics train" in report
    assert "Start with the claims" in report


def test_a_page_says_what_produced_its_figure(finished: Path) -> None:
    page = (finished / "results" / "smoke" / "pages" / "figure_6.html").read_text()
    for said in ("embedded sample, sha256", "torch 2.", "cpu, 1 thread(s)", "seed: 2026", "host "):
        assert said in page, said


def test_what_a_scale_reduces_is_what_its_settings_change() -> None:
    smoke, paper = (load_settings(scale, ROOT / "configs").experiment("case_study") for scale in ("smoke", "paper"))
    assert differences(paper, paper) == []
    assert differences(smoke, paper) == [
        Difference("trials", 2, 10),
        Difference("data.samples", 64, 1000),
        Difference("training.steps", 60, 2500),
        Difference("observe.singular_structure", 20, 25),
    ]


def test_what_a_run_reduces_is_what_its_metrics_say(finished: Path) -> None:
    """Settings and trials are those that it was trained with, whatever the scale's are now."""
    paper = load_settings("paper", ROOT / "configs")
    found = {
        name: metrics.read(finished / "results" / "smoke" / "metrics" / f"{name}.parquet") for name in paper.experiments
    }
    smoke = load_settings("smoke", ROOT / "configs")
    for name in ("case_study", "deep_whitened"):
        assert reductions(found[name], name, paper) == differences(smoke.experiment(name), paper.experiment(name))
    cells, trials, *_ = reductions(found["vgg_heads"], "vgg_heads", paper)
    assert (cells, trials) == (Difference("activations", ["gelu"], ["gelu", "silu"]), Difference("trials", 2, 5))
    one = found["case_study"].within(1, ["relu", "elu"], ["full"])
    assert reductions(one, "case_study", paper)[:2] == [
        Difference("activations", ["elu", "relu"], list(paper.experiment("case_study").activations)),
        Difference("trials", 1, 10),
    ]
    adam = found["deep_unwhitened"].cells["elu-full-adam"]
    assert adam.settings
    longer = adam.settings.model_copy(update={"training": adam.settings.training.model_copy(update={"steps": 30})})
    cells_by_name = {**found["deep_unwhitened"].cells, "elu-full-adam": adam.model_copy(update={"settings": longer})}
    changed = reductions(metrics.Metrics(found["deep_unwhitened"].table, cells_by_name), "deep_unwhitened", paper)
    assert [each for each in changed if each.key.endswith("training.steps")] == [
        Difference("variants.sgd_momentum.training.steps", 20, 2000),
        Difference("variants.adam.training.steps", 30, 2000),
        Difference("variants.muon.training.steps", 20, 2000),
    ]


def test_figures_are_sorted_by_their_numbers() -> None:
    assert sorted(map(sortable, ("Figure 14", "Figure 6", "Figure 2"))) == ["Figure  2", "Figure  6", "Figure 14"]
