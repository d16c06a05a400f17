"""Take the picture of a run's report that the README shows, with Chromium.

In the project's root, after a run: `python -m tools.picture_report --run laptop`.
"""

import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

from lowrank_dynamics.config.run import Run
from lowrank_dynamics.errors import UserError

BROWSER = "chromium"
WIDTH, HEIGHT = 1200, 800
"""Of the window, in pixels: the summary, and the top of the overview below it."""
OPTIONS = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1")


def main() -> None:
    """Take the picture and keep it beside the reference's figures."""
    parser = ArgumentParser(prog="python -m tools.picture_report", description=__doc__)
    parser.add_argument("--run", default="laptop")
    run = Run.named(parser.parse_args().run, configs=Path("configs"))
    try:
        print(picture(run.report, run.reference_figures / "report.png"))
    except UserError as error:
        sys.exit(f"error: {error}")


def picture(report: Path, target: Path) -> Path:
    """Show a report in a window and keep what is seen in it as a PNG at `target`, which is
    returned. Raises UserError if there is no such report, or no browser.
    """
    if not report.exists():
        raise UserError(f"there is no report {report}; run `make` first")
    if shutil.which(BROWSER) is None:
        raise UserError(f"there is no {BROWSER} to open the report with: apt install {BROWSER}")
    window = (f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={target.resolve()}")
    command = (BROWSER, *OPTIONS, *window, report.resolve().as_uri())
    subprocess.run(command, check=True, capture_output=True)
    return target


if __name__ == "__main__":
    main()
