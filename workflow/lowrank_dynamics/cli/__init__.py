"""The command line: the stages, which rules also call, and commands that render and inspect
results.
"""
