"""The settings: typed, frozen, checked before any job starts, and the tables of names that they may
use.

Nothing here imports torch, because Snakemake loads the settings to build the graph of jobs.
"""
