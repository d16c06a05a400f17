"""The picture of the report is what a browser shows of it."""

from pathlib import Path

import pytest
from PIL import Image

from browser import in_a_browser
from conftest import refused
from tools.picture_report import BROWSER, HEIGHT, WIDTH, picture


@pytest.mark.slow
@in_a_browser
def test_the_picture_shows_the_top_of_the_page(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<body style='background: rgb(0, 0, 255); height: 2000px'>")
    with Image.open(picture(report, tmp_path / "report.png")) as image:
        assert image.size == (WIDTH, HEIGHT)
        assert image.convert("RGB").getcolors() == [(WIDTH * HEIGHT, (0, 0, 255))]


def test_a_report_that_was_not_written_and_a_browser_that_is_absent_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.html"
    with refused(f"there is no report {report}; run `make` first"):
        picture(report, tmp_path / "report.png")
    report.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused(f"there is no {BROWSER} to open the report with"):
        picture(report, tmp_path / "report.png")
