"""How fast it is: ratios, each measured side by side in one process on one core, and the page that
shows them.
"""
