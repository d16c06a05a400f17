"""Whether the verdicts stand when a declared choice changes: the tables of all alternatives
combined.
"""

from collections.abc import Mapping

import pandas as pd

from lowrank_dynamics.analysis.table import weakest_cells
from lowrank_dynamics.config.study import DECLARED, Study
from lowrank_dynamics.errors import UserError

COLUMNS = [
    "choice",
    "value",
    "claim",
    "figure",
    "cell",
    "mean",
    "deviation",
    "worst",
    "trials",
    "censored",
    "claim_verdict",
    "over_trials",
    "low",
    "high",
    "weaker_low",
    "weaker_high",
]


def compare(
    declared: pd.DataFrame, alternatives: Mapping[str, pd.DataFrame], study: Study
) -> pd.DataFrame:
    """Return one row per claim and alternative, with its weakest cell, after those of the declared
    values.

    `declared` and `alternatives`, by name, are tables of verdicts. Only claims that some
    alternative covers are kept. Raises UserError for an alternative that is not in the study.
    """
    for name in alternatives:
        if name not in study.alternatives:
            raise UserError(
                f"the sensitivity study has no alternative {name!r}, only"
                f" {', '.join(study.alternatives)}"
            )
    rows = [weakest_cells(declared).assign(choice=DECLARED, value=DECLARED)]
    for name, table in alternatives.items():
        if len(table):
            choice, value, _ = study.alternatives[name]
            rows.append(weakest_cells(table).assign(choice=choice, value=value))
    joined = pd.concat(rows, ignore_index=True)
    varied = joined.loc[joined["choice"] != DECLARED, "claim"]
    return joined.loc[joined["claim"].isin(varied), COLUMNS].reset_index(drop=True)


def changed_verdicts(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of alternatives, with a column `stands`: whether the verdict is that at the
    declared values.
    """
    declared = compared[compared["choice"] == DECLARED].set_index("claim")["claim_verdict"]
    varied = compared[compared["choice"] != DECLARED]
    return varied.assign(stands=varied["claim_verdict"] == varied["claim"].map(declared))
