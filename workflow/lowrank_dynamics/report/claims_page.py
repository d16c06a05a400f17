"""The page of all claims: a table that can be searched and sorted out by verdict."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lowrank_dynamics.analysis.table import measured, measured_or_why, summary, threshold, weakest_cells
from lowrank_dynamics.analysis.verdicts import ORDER
from lowrank_dynamics.report.rendering import render


def write_claims_page(verdicts: pd.DataFrame, scale: str, unverified: Iterable[str], path: Path) -> None:
    """Write the page of the claims in `verdicts` to `path`; `unverified` names the data that are not verified."""
    weakest = weakest_cells(verdicts).to_dict("records") if len(verdicts) else []
    render(
        "claims_page.html.j2",
        path,
        title=f"Claims at {scale} scale",
        summary=summary(verdicts),
        unverified=list(unverified),
        verdicts=[str(verdict) for verdict in reversed(ORDER)],
        claims=[_claim(pd.Series(claim), verdicts[verdicts["claim"] == claim["claim"]]) for claim in weakest],
    )


def _claim(claim: pd.Series, cells: pd.DataFrame) -> dict[str, object]:
    return {
        **claim,
        "verdict": claim["claim_verdict"],
        "threshold": threshold(claim),
        "measured": measured_or_why(claim),
        "cells": [
            {"cell": cell["cell"], "measured": measured(cell), "verdict": cell["verdict"], "reason": cell["reason"]}
            for _, cell in cells.iterrows()
        ],
        "weakest": claim["cell"],
    }
