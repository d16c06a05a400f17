"""The tables in README and docs are those of the reference, which agrees with the statements."""

import pytest

from tools import fill_tables


def test_verdicts_by_other_thresholds_fill_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = fill_tables.verdict_rows("laptop")
    is_changed = rows["claim"] == "change_is_in_block_1"
    rows.loc[is_changed, "low"] = 0.8
    monkeypatch.setattr(fill_tables, "verdict_rows", lambda _: rows)
    with pytest.raises(SystemExit, match="laptop scale has verdicts on change_is_in_block_1 by"):
        fill_tables.main()
