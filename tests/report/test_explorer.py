"""The report's page in a browser, with the reference's runs: its explorer draws the numbers of the
metrics, and every screen, dark mode and paper show the page well.
"""

import io
import json
import re
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.wait import WebDriverWait

from browser import emulate, in_a_browser, opened, resize
from conftest import ROOT, planted, row, run_named
from lowrank_dynamics.analysis import comparison
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.run import Run
from lowrank_dynamics.report.explorer import CURVE, POINTS, curves, explorer_data
from lowrank_dynamics.report.page import write_page
from lowrank_dynamics.storage import metrics, tables
from lowrank_dynamics.storage.metrics import Metrics

WIDTHS = (1440, 768, 641, 500, 390, 320)
SHOWN = {"figure_6": ("fashion_mnist",), "figure_7": ("vgg_full_model", "vgg_heads")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of the reference's metrics and figures of `SHOWN`, with its report."""
    project, run = run_named("laptop", ROOT), run_named("laptop", tmp_path_factory.mktemp("kept"))
    run.metrics("any").parent.mkdir(parents=True)
    shutil.copy(project.reference / "claims.parquet", run.table("claims"))
    for experiments in SHOWN.values():
        for name in experiments:
            shutil.copy(project.reference / f"{name}.parquet", run.metrics(name))
    nothing = tables.Table(pd.DataFrame(columns=comparison.COLUMNS), {})
    tables.write_without_page(nothing, run.table("comparison"))
    pictures = [ROOT / "figures" / "reference" / "laptop" / f"{name}.png" for name in SHOWN]
    write_page(run, pictures, ROOT / "workflow" / "report", run.report)
    return run


def measured(steps: int, trials: int = 3) -> Metrics:
    """Return metrics of two layers and three indices at every third step."""
    random = np.random.default_rng(0)
    rows = []
    for step in range(0, 3 * steps, 3):
        for layer in (1, 2):
            rows.append(row(step, "block_share", random.random((trials, 3)), layer))
    rows.append(row(0, "last_step", [3 * steps] * trials, 0))
    return planted({Cell("elu", "full"): rows, Cell("gelu", "full", "b"): rows})


@pytest.mark.parametrize("steps", [1, 2, POINTS - 1, POINTS, POINTS + 1, 5 * POINTS - 3])
def test_a_curve_has_its_first_and_last_step_and_the_numbers_of_the_metrics(steps: int) -> None:
    whole = measured(steps)
    thinned = curves(whole)
    by_curve = thinned.groupby(CURVE, observed=True)
    assert len(by_curve) == 2 * 2 * 3
    for key, curve in by_curve:
        equal = dict(zip(CURVE, key, strict=True))
        rows = whole.where(**equal).table.to_pandas()
        assert list(curve["step"].iloc[[0, -1]]) == [rows["step"].min(), rows["step"].max()]
        assert len(curve) == min(steps, POINTS)
        for point in curve.itertuples():
            values = rows.loc[rows["step"] == point.step, "value"]
            assert point.mean == pytest.approx(np.mean(values), rel=1e-12)
            assert point.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-9)
            assert point.trials == 3


def test_the_steps_of_a_long_curve_lie_evenly() -> None:
    _, curve = next(iter(curves(measured(10 * POINTS)).groupby(CURVE, observed=True)))
    gaps = np.diff(curve["step"])
    assert max(gaps) - min(gaps) <= 3


def test_the_data_of_a_page_are_the_curves_with_four_digits() -> None:
    whole = measured(7)
    thinned, data = curves(whole), json.loads(explorer_data({"small": whole}))
    assert data["columns"] == CURVE
    assert data["labels"]["activation"] == {"elu": "ELU", "gelu": "GELU"}
    packed = data["experiments"]["small"]
    for (key, curve), of_page in zip(
        thinned.groupby(CURVE, observed=True), packed["curves"], strict=True
    ):
        assert tuple(of_page[: len(CURVE)]) == key
        place, trials, means, deviations = of_page[len(CURVE) :]
        assert (packed["steps"][place], trials) == (list(curve["step"]), 3)
        assert means == pytest.approx(list(curve["mean"]), rel=5e-4)
        assert deviations == pytest.approx(list(curve["deviation"]), rel=5e-4)


def test_what_is_not_finite_is_null() -> None:
    """As is the deviation of one trial."""
    diverged = planted({Cell("elu", "full"): [row(0, "train_loss", [np.inf], 0)]})
    (curve,) = json.loads(explorer_data({"small": diverged}))["experiments"]["small"]["curves"]
    assert curve[-2:] == [[None], [None]]


def choose(driver: WebDriver, **choices: str) -> None:
    """Choose values in the explorer: of its selects, or of the columns of the metrics."""
    for name, value in choices.items():
        selector = f"#choose-{name}, [data-column={name}]"
        Select(driver.find_element(By.CSS_SELECTOR, selector)).select_by_value(value)


def drawn(driver: WebDriver) -> list[NDArray[Any]]:
    """Return the points (n, 2) of each line of the chart, in pixels."""
    lines = []
    for path in driver.find_elements(By.CSS_SELECTOR, "#chart .line"):
        numbers = re.findall(r"-?\d+\.\d", path.get_attribute("d"))
        lines.append(np.array(numbers, dtype=float).reshape(-1, 2))
    return lines


@pytest.mark.slow
@in_a_browser
def test_the_explorer_draws_the_means_of_the_metrics(kept: Run) -> None:
    """On either axis a height is an affine function of the mean, or of its logarithm; so are the
    widths of steps.
    """
    whole = metrics.read(kept.metrics("fashion_mnist"))
    expected = curves(whole.where(quantity="test_loss", activation="silu"))
    with opened(kept.report) as driver:
        choose(driver, experiment="fashion_mnist", quantity="test_loss")
        choose(driver, lines="parameterization", activation="silu")
        for scale in (np.asarray, np.log10):
            lines = drawn(driver)
            assert len(lines) == 3
            across, up = np.concatenate(lines).T
            for place, values in ((across, expected["step"]), (up, scale(expected["mean"]))):
                fit = np.polynomial.Polynomial.fit(values, place, 1)
                assert np.abs(fit(values) - place).max() < 0.2
            assert len(driver.find_elements(By.CSS_SELECTOR, "#chart .band")) == 3
            driver.find_element(By.ID, "choose-log").click()


@pytest.mark.slow
@in_a_browser
def test_the_explorer_says_the_numbers_it_draws(kept: Run) -> None:
    whole = metrics.read(kept.metrics("fashion_mnist"))
    with opened(kept.report, width=390) as driver:
        choose(driver, experiment="fashion_mnist", quantity="test_accuracy")
        choose(driver, lines="parameterization", activation="gelu")
        reader = driver.find_element(By.ID, "reader")
        for key, step in ((Keys.HOME, 0), (Keys.END, 600)):
            reader.send_keys(key)
            assert driver.find_element(By.ID, "read-at").text == f"step {step}"
            said = [item.text for item in driver.find_elements(By.CSS_SELECTOR, "#lines li")]
            for network, words in zip(("full", "s_big", "random"), said, strict=True):
                at_step = {"step": step, "activation": "gelu", "parameterization": network}
                values = whole.frame("test_accuracy", **at_step)["value"]
                mean, deviation = map(float, re.findall(r"[\d.e-]+$|[\d.e-]+(?= ±)", words))
                assert mean == pytest.approx(values.mean(), rel=1e-3)
                assert deviation == pytest.approx(values.std(), rel=0.06)
        assert "low-rank, S_big" in said[1]
        assert reader.get_attribute("aria-valuetext").startswith("step 600, full 0.")
        driver.find_element(By.CSS_SELECTOR, "#numbers summary").click()
        table = (By.CSS_SELECTOR, "#numbers tbody tr")
        # the browser fills it after the click has returned
        rows = WebDriverWait(driver, 10).until(lambda _: driver.find_elements(*table))
        assert len(rows) == len(drawn(driver)[0])
        driver.find_element(By.CSS_SELECTOR, "#lines button").click()
        assert len(drawn(driver)) == 2
        assert driver.find_element(By.CSS_SELECTOR, "[aria-pressed=false]").text == "full"


@pytest.mark.slow
@in_a_browser
def test_every_quantity_can_be_drawn(kept: Run) -> None:
    assert_all_are_drawn(kept.report, set(chain(*SHOWN.values())))


def assert_all_are_drawn(page: Path, experiments: set[str]) -> None:
    """Check that whatever is chosen in the explorer of a page, there are lines or points."""
    script = (Path(__file__).parent / "draw_everything.js").read_text(encoding="utf-8")
    with opened(page) as driver:
        counts = driver.execute_script(script)
    assert {count["experiment"] for count in counts} == experiments
    for count in counts:
        assert count["marks"] > 0, count
        assert count["invalid"] == 0, count


@pytest.mark.slow
@in_a_browser
def test_the_explorer_needs_a_script_and_is_not_printed(kept: Run) -> None:
    with opened(kept.report) as driver:
        explorer = driver.find_element(By.ID, "explorer")
        assert explorer.is_displayed()
        emulate(driver, "print")
        assert not explorer.is_displayed()
        emulate(driver)
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.refresh()
        assert "which this browser does not run" in driver.find_element(By.ID, "explorer").text
        assert not driver.find_element(By.ID, "explored").is_displayed()


@pytest.mark.slow
@in_a_browser
def test_every_width_shows_the_page_well(kept: Run) -> None:
    """Nothing is wider than the screen, a picture that scrolls says so, the search field shows its
    placeholder, and no word of a threshold is broken.
    """
    script = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
    with opened(kept.report) as driver:
        for width in WIDTHS:
            resize(driver, width)
            seen = driver.execute_script(script)
            assert seen["overflow"] == 0, width
            assert seen["scrolls"] == seen["signs"], width
            assert len(seen["signs"]) == len(SHOWN)
            assert seen["placeholder"] < seen["field"], width
            assert seen["broken"] == [], width


@pytest.mark.slow
@in_a_browser
def test_figures_are_dark_in_dark_mode(kept: Run) -> None:
    brightness = []
    with opened(kept.report) as driver:
        for scheme in ("light", "dark"):
            emulate(driver, scheme=scheme)
            picture = driver.find_element(By.CSS_SELECTOR, "#figure_6 img")
            with Image.open(io.BytesIO(picture.screenshot_as_png)) as image:
                brightness.append(np.mean(image.convert("L")))
    assert brightness[0] > 200
    assert brightness[1] < 70
