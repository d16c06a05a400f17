"""From metrics to tables: fits, claims and their verdicts, comparisons. No torch, no plots."""
