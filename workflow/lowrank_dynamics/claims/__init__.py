"""The paper's statements, what this run measured of them, and a verdict on each.

To add a claim, write its entry in `configs/claims.yaml`; a new way to measure is a function in `measures.py`.
"""
